import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { checkTensors, tensorsOf } from '../architecture/modules';
import { readSpec, type ReadSpecOptions } from '../architecture/readSpec';
import { toBF16 } from '../floats';
import { countParameters, type TensorInfo } from '../tensorInfo';
import { type WeightSource, withReplaced } from '../weightSource';
import type { Spec } from '../architecture/spec';
import type { BaseModel } from '../baseModel';
import { configOf } from './config';
import { ggufFamilyOf } from './families';
import type { GgufFamily } from './family';
import type { GgufTensor } from './header';
import { Metadata } from './metadata';
import { checkpointName } from './names';
import { restored } from './order';
import { GgufFile } from './read';
import { tokenizerOf } from './tokenizer';

/** Opens a .gguf file as the checkpoint that it was made of. Errors: LoraError. */
export async function openGgufBase(
  file: string,
  options: ReadSpecOptions = {},
): Promise<BaseModel> {
  const source = await GgufFile.open(file);
  try {
    const metadata = new Metadata(source.header.metadata, file);
    refuseParts(metadata);
    if (metadata.string('general.type', 'model') !== 'model')
      throw new LoraError('base', 'The file is no base model but an adapter.', {
        place: { file, key: 'general.type' },
        fix: 'Name the model that it was made for.',
      });
    const family = ggufFamilyOf(metadata.string('general.architecture'), file);
    const config = await readConfig(source, metadata, family);
    const weights = withReplaced(weightsOf(source, config, family), options.replaced);
    const spec = readSpec(config, file, options);
    const missing = checkTensors(weights.tensors, spec, file, options.new_head);
    refuseOthers(source, spec, family);
    return {
      spec,
      missing,
      replaced: new Set(options.replaced?.keys()),
      path: file,
      name: metadata.string('general.name', path.basename(file, '.gguf')),
      format: 'gguf',
      config,
      weights,
      weight_files: [file],
      parameters: countParameters(weights.tensors),
      readTokenizer: () => Promise.resolve().then(() => tokenizerOf(metadata)),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function refuseParts(metadata: Metadata): void {
  const parts = metadata.number('split.count', 1);
  if (parts > 1) {
    throw new LoraError('base', `The file is one of ${parts} parts of a model.`, {
      place: { file: metadata.file, key: 'split.count' },
      fix: "Join them with llama.cpp's llama-gguf-split --merge, and name the whole file.",
    });
  }
}

async function readConfig(
  source: GgufFile,
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
  return configOf(metadata, family, {
    has: (name) => tensors.has(name),
    vocab_size: embedding.shape[0] ?? 0,
    rope_factors: {
      freqs: await factors('rope_freqs'),
      long: await factors('rope_factors_long'),
      short: await factors('rope_factors_short'),
    },
  });
}

function weightsOf(
  source: GgufFile,
  config: Readonly<Record<string, unknown>>,
  family: GgufFamily,
): WeightSource {
  const tensors = storedUnder(source, family);
  const shapeOf = (name: string, shape: readonly number[]) =>
    family.storage(name) === 'transposed' ? shape.toReversed() : shape;
  const find = (name: string) => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new LoraError('base', 'The tensor is not in the file.', {
        place: { file: source.file, tensor: name },
      });
    return tensor;
  };
  const readF32 = async (name: string, target?: Float32Array) => {
    const [tensor, storage] = [find(name), family.storage(name)];
    if (storage === 'plain') return source.readF32(tensor, target);
    return restored(
      await source.readF32(tensor),
      storage,
      { shape: shapeOf(name, tensor.shape), head_dim: Number(config['head_dim']) },
      target,
    );
  };
  return {
    tensors: new Map(
      [...tensors].map(([name, { dtype, shape }]): [string, TensorInfo] => [
        name,
        { name, dtype, shape: shapeOf(name, shape) },
      ]),
    ),
    readF32,
    readBF16: async (name, target) =>
      family.storage(name) === 'plain'
        ? source.readBF16(find(name), target)
        : toBF16(await readF32(name), target),
    close: () => source.close(),
  };
}

/**
 * The checkpoint's names. A tensor that the architecture does not have would change the model's
 * output: refused, not passed over.
 */
function storedUnder({ file, header }: GgufFile, family: GgufFamily): Map<string, GgufTensor> {
  const stored = new Map<string, GgufTensor>();
  for (const tensor of header.tensors.values()) {
    const name = checkpointName(tensor.name, family);
    if (name === undefined) throw oddTensor(file, tensor.name);
    if (name !== null) stored.set(name, tensor);
  }
  return stored;
}

const oddTensor = (file: string, tensor: string) =>
  new LoraError('base', 'The model has a tensor that models of its architecture do not have.', {
    place: { file, tensor },
    fix: 'Use a model of a supported architecture.',
  });

/**
 * Names that are known, but not in this architecture: a norm of queries in a Llama. A stored output
 * layer counts where the head is another, too.
 */
function refuseOthers({ file, header }: GgufFile, spec: Spec, family: GgufFamily): void {
  const { body, head } = tensorsOf(spec);
  const wanted = new Set([...body, ...head].map((tensor) => tensor.name));
  for (const { name } of header.tensors.values()) {
    const own = checkpointName(name, family);
    if (own !== null && own !== undefined && name !== 'output.weight' && !wanted.has(own))
      throw oddTensor(file, name);
  }
}
