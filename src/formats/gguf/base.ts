import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { checkTensors } from '../architecture/checkTensors';
import { tensorsOf } from '../architecture/modules';
import { readSpec, type ReadSpecOptions } from '../architecture/readSpec';
import { toBF16 } from '../floats';
import { hubNameOfGguf, hubNameOfPath } from '../hub/hubName';
import { countParameters, type TensorInfo } from '../tensorInfo';
import { type WeightSource, withReplaced } from '../weightSource';
import type { Spec } from '../architecture/spec';
import type { BaseModel } from '../baseModel';
import { blocksOfTensor } from './blocks';
import { ggufConfig } from './config';
import { ggufFamilyOf } from './families';
import type { GgufFamily } from './family';
import type { GgufTensor } from './header';
import { Metadata } from './metadata';
import { checkpointName } from './names';
import { toCheckpointOrder } from './order';
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
    const family = ggufFamilyOf(metadata.string('general.architecture'), file);
    const config = await readConfig(source, metadata, family);
    const weights = withReplaced(weightsOf(source, config, family), options.replaced);
    const spec = readSpec(config, file, options);
    const missing = checkTensors(weights.tensors, spec, file, options.new_head);
    refuseUnknownTensors(source, spec, family);
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
  return ggufConfig(metadata, family, {
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
  source: GgufSource,
  config: Readonly<Record<string, unknown>>,
  family: GgufFamily,
): WeightSource {
  const tensors = tensorsByName(source, family);
  const shapeOf = (name: string, shape: readonly number[]) => {
    const storage = family.storage(name);
    if (storage === 'squeezed') return [...shape.slice(0, 1), 1, ...shape.slice(1)];
    return storage === 'transposed' ? shape.toReversed() : shape;
  };
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
    return toCheckpointOrder(
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
    blocksOf: (name) => {
      const tensor = find(name);
      const layout = {
        shape: shapeOf(name, tensor.shape),
        head_dim: Number(config['head_dim']),
      };
      return blocksOfTensor(source, { tensor, storage: family.storage(name), layout });
    },
    readBF16: async (name, target) =>
      family.storage(name) === 'plain'
        ? source.readBF16(find(name), target)
        : toBF16(await readF32(name), target),
    close: () => source.close(),
  };
}

/**
 * The tensors by their names in the checkpoint. Unknown tensors are refused, since they would
 * change the model's output.
 */
function tensorsByName({ file, header }: GgufSource, family: GgufFamily): Map<string, GgufTensor> {
  const stored = new Map<string, GgufTensor>();
  for (const tensor of header.tensors.values()) {
    const name = checkpointName(tensor.name, family);
    if (name === undefined) throw unknownTensor(file, tensor.name);
    if (name !== null) stored.set(name, tensor);
  }
  return stored;
}

const unknownTensor = (file: string, tensor: string) =>
  new LoraError('base', 'The model has a tensor that its architecture does not have.', {
    place: { file, tensor },
    fix: 'Use a model of a supported architecture.',
  });

/**
 * Refuses tensors with known names that this model does not have, such as a norm of queries in a
 * Llama. An output layer is accepted even when the head is a classifier.
 */
function refuseUnknownTensors({ file, header }: GgufSource, spec: Spec, family: GgufFamily): void {
  const { body, head } = tensorsOf(spec);
  const wanted = new Set([...body, ...head].map((tensor) => tensor.name));
  for (const { name } of header.tensors.values()) {
    const own = checkpointName(name, family);
    if (own !== null && own !== undefined && name !== 'output.weight' && !wanted.has(own))
      throw unknownTensor(file, name);
  }
}
