import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { checkTensors } from '../architecture/checkTensors';
import { tensorsOf } from '../architecture/modules';
import { readSpec, type ReadSpecOptions } from '../architecture/readSpec';
import { hubNameOfGguf, hubNameOfPath } from '../hub/hubName';
import { withStoredOutput } from '../tiedOutput';
import { countParameters } from '../tensorInfo';
import { withReplaced } from '../weightSource';
import type { Spec } from '../architecture/spec';
import type { BaseModel } from '../baseModel';
import { ggufConfig } from './config';
import { familyInFile, labelConfig } from './families';
import type { GgufFamily } from './family';
import { Metadata } from './metadata';
import { blockOf } from './names';
import { headLayoutOf } from './order';
import { namesOf, placesIn, unknownTensor, weightsAt, type PlaceOptions } from './places';
import { GGUF_KINDS, kindOfGguf } from './kind';
import { openGgufModel } from './parts';
import type { GgufSource } from './read';
import { readGgufTokenizer } from './tokenizer';

/**
 * Opens a .gguf file as the Hugging Face checkpoint that it was converted from. Close the result.
 *
 * @throws LoraError('base') naming file, tensor or key.
 */
export async function openGgufBase(
  file: string,
  options: ReadSpecOptions = {},
): Promise<BaseModel> {
  if (options.quantize)
    throw new LoraError('base', 'Only a base in safetensors is quantized while it is loaded.', {
      place: { file },
      fix: 'Remove training.quantize (--quantize): "base_dtype": "quantized" keeps a GGUF file in its blocks.',
    });
  const source = await openGgufModel(file);
  try {
    const metadata = new Metadata(source.header.metadata, file);
    refuseOtherKinds(metadata, source);
    const family = familyInFile(metadata, source.header.tensors);
    const config = await readConfig(source, metadata, family);
    const names = placeOptions(metadata, config, family);
    const places = placesIn(source, names);
    const described = readSpec(config, file, options);
    refuseOtherTasks(described, family, file);
    const weights = withReplaced(
      weightsAt(source, places, { family, heads: headLayoutOf(described) }),
      options.replaced,
    );
    const spec = withStoredOutput(described, weights.tensors);
    requireExperts(source, spec, family);
    const missing = checkTensors(weights.tensors, spec, file, options.new_head);
    refuseUnknownTensors(source, spec, names);
    return {
      spec,
      missing,
      replaced: new Set(options.replaced?.keys()),
      path: source.file,
      name: metadata.string('general.name', path.basename(source.file, '.gguf')),
      hub: hubNameOfGguf(metadata) ?? hubNameOfPath(file),
      format: 'gguf',
      config,
      weights,
      weight_files: source.files,
      parameters: countParameters(weights.tensors),
      readTokenizer: () => Promise.resolve().then(() => readGgufTokenizer(metadata)),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function refuseOtherKinds(metadata: Metadata, { header, file }: GgufSource): void {
  const kind = kindOfGguf(metadata, header.tensors);
  if (kind === 'model') return;
  throw new LoraError('base', `The file is ${GGUF_KINDS[kind]}, not a base model.`, {
    place: { file, key: 'general.type' },
    fix:
      kind === 'adapter'
        ? 'Name the model that the adapter was made for.'
        : 'Name the .gguf file of a language model.',
  });
}

/** @throws LoraError('base') for a task whose layers files of this family do not have */
function refuseOtherTasks({ task }: Spec, { tasks, arch }: GgufFamily, file: string): void {
  if (!tasks || tasks.includes(task)) return;
  throw new LoraError(
    'base',
    `A GGUF file of the architecture "${arch}" has no layers for the task "${task}", only for: ${tasks.join(', ')}.`,
    { place: { file, key: 'general.architecture' }, fix: "Use the model's safetensors folder." },
  );
}

async function readConfig(
  source: GgufSource,
  metadata: Metadata,
  family: GgufFamily,
): Promise<Record<string, unknown>> {
  const { tensors } = source.header;
  const embedding = tensors.get('token_embd.weight');
  if (!embedding)
    throw new LoraError('base', 'The file is not a language model: it has no embedding.', {
      place: { file: source.file, tensor: 'token_embd.weight' },
    });
  const factors = async (name: string) => {
    const tensor = tensors.get(`${name}.weight`);
    return tensor ? source.readF32(tensor) : null;
  };
  const config = ggufConfig(metadata, family, {
    has: (name) => tensors.has(name),
    vocab_size: embedding.shape[0] ?? 0,
    rope_factors: {
      freqs: await factors('rope_freqs'),
      long: await factors('rope_factors_long'),
      short: await factors('rope_factors_short'),
    },
  });
  return { ...config, ...labelConfig(metadata, family, tensors) };
}

/** What the tensors are named by in this file. */
function placeOptions(
  metadata: Metadata,
  config: Readonly<Record<string, unknown>>,
  family: GgufFamily,
): PlaceOptions {
  const key = `${family.arch}.expert_count`;
  const extra = family.extra_layers?.(metadata) ?? 0;
  const layers = Number(config['num_hidden_layers']);
  return {
    family,
    experts: { key, count: metadata.number(key, 0) },
    isExtra: (name) => extra > 0 && (blockOf(name) ?? 0) >= layers,
  };
}

/** @throws LoraError('base') naming the first tensor of experts that a mixture lacks. */
function requireExperts({ file, header }: GgufSource, spec: Spec, family: GgufFamily): void {
  const mixtures = spec.layers.flatMap(({ mlp }, i) => (mlp.kind === 'mixture' ? [i] : []));
  const names = [...family.parts].filter(([, path]) => /\.?experts\.[a-z_]+$/.test(path));
  for (const i of mixtures) {
    const has = (part: string) => header.tensors.has(`blk.${i}.${part}.weight`);
    const isJoined = names.some(([part, path]) => path.endsWith('gate_up_proj') && has(part));
    const missing = names.find(
      ([part, path]) =>
        !has(part) && (path.endsWith('down_proj') || (!isJoined && !path.endsWith('gate_up_proj'))),
    );
    if (!missing) continue;
    throw new LoraError('base', 'The tensor of all experts is missing.', {
      place: { file, tensor: `blk.${i}.${missing[0]}.weight` },
      fix: 'Download the model again, or use another file of it.',
    });
  }
}

/**
 * Refuses tensors with known names that this model does not have, such as a norm of queries in a
 * Llama. An output layer is accepted even when the head is a classifier, and so is what layers have
 * although they use the keys and values of others.
 */
function refuseUnknownTensors(source: GgufSource, spec: Spec, options: PlaceOptions): void {
  const { body, head } = tensorsOf(spec);
  const wanted = new Set([...body, ...head].map((tensor) => tensor.name));
  const unused = new Set(spec.unused_modules ?? []);
  const isKnown = (name: string) =>
    wanted.has(name) || unused.has(name.slice(0, name.lastIndexOf('.')));
  for (const tensor of source.header.tensors.values()) {
    if (tensor.name === 'output.weight') continue;
    if (!namesOf(tensor, source, options).every(isKnown))
      throw unknownTensor(source.file, tensor.name);
  }
}
