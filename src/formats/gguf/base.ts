import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { checkTensors, tensorsOf } from '../architecture/modules';
import { readSpec, type ReadSpecOptions } from '../architecture/readSpec';
import { countParameters } from '../parameters';
import type { Spec } from '../architecture/spec';
import type { BaseModel, TensorInfo, WeightSource } from '../types';
import { configOf } from './config';
import type { GgufTensor } from './header';
import { Metadata } from './metadata';
import { checkpointName, undoRotaryOrder } from './names';
import { GgufFile } from './read';
import { tokenizerOf } from './tokenizer';

/** Opens a .gguf file as the checkpoint that it was made of. Errors: LoraError. */
export async function openGgufBase(file: string, options: ReadSpecOptions = {}): Promise<BaseModel> {
  const source = await GgufFile.open(file);
  try {
    const metadata = new Metadata(source.header.metadata, file);
    refuseParts(metadata);
    const config = await readConfig(source, metadata);
    const weights = weightsOf(source, config);
    const spec = readSpec(config, file, options);
    const missing = checkTensors(weights.tensors, spec, file, options.new_head);
    refuseOthers(source, spec);
    return {
      spec, missing,
      path: file, name: metadata.string('general.name', path.basename(file, '.gguf')), format: 'gguf', config, weights, weight_files: [file],
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
      place: { file: metadata.file, key: 'split.count' }, fix: 'Join them with llama.cpp\'s llama-gguf-split --merge, and name the whole file.',
    });
  }
}

async function readConfig(source: GgufFile, metadata: Metadata): Promise<Record<string, unknown>> {
  const { tensors } = source.header;
  const embedding = tensors.get('token_embd.weight');
  if (!embedding) throw new LoraError('base', 'The file is not a language model: it has no embedding.', { place: { file: source.file, tensor: 'token_embd.weight' } });
  const factors = tensors.get('rope_freqs.weight');
  return configOf(metadata, {
    has: (name) => tensors.has(name),
    vocab_size: embedding.shape[0] ?? 0,
    rope_factors: factors ? await source.readF32(factors) : null,
  });
}

function weightsOf(source: GgufFile, config: Readonly<Record<string, unknown>>): WeightSource {
  const stored = storedUnder(source);
  const isPermuted = (name: string) => config['model_type'] === 'llama' && /self_attn\.[qk]_proj\./.test(name);
  /** llama.cpp adds the 1 that Gemma's norms count from. */
  const isShifted = (name: string) => config['model_type'] === 'gemma' && name.endsWith('norm.weight');
  return {
    tensors: new Map([...stored].map(([name, { dtype, shape }]): [string, TensorInfo] => [name, { name, dtype, shape }])),
    readF32: async (name, target) => {
      const tensor = stored.get(name);
      if (!tensor) throw new LoraError('base', 'The tensor is not in the file.', { place: { file: source.file, tensor: name } });
      if (isShifted(name)) return minusOne(await source.readF32(tensor, target));
      if (!isPermuted(name)) return source.readF32(tensor, target);
      return undoRotaryOrder(await source.readF32(tensor), tensor.shape[0]!, Number(config['head_dim']), target);
    },
    close: () => source.close(),
  };
}

function minusOne(data: Float32Array): Float32Array {
  for (let i = 0; i < data.length; i++) data[i]! -= 1;
  return data;
}

/** The checkpoint's names. A tensor that the architecture does not have would change the model's output: refused, not passed over. */
function storedUnder({ file, header }: GgufFile): Map<string, GgufTensor> {
  const stored = new Map<string, GgufTensor>();
  for (const tensor of header.tensors.values()) {
    const name = checkpointName(tensor.name);
    if (name === undefined) throw oddTensor(file, tensor.name);
    if (name !== null) stored.set(name, tensor);
  }
  return stored;
}

const oddTensor = (file: string, tensor: string) => (
  new LoraError('base', 'The model has a tensor that models of its architecture do not have.', { place: { file, tensor }, fix: 'Use a model of a supported architecture.' }));

/** Names that are known, but not in this architecture: a norm of queries in a Llama. A stored output layer counts where the head is another, too. */
function refuseOthers({ file, header }: GgufFile, spec: Spec): void {
  const { body, head } = tensorsOf(spec);
  const wanted = new Set([...body, ...head].map((tensor) => tensor.name));
  for (const { name } of header.tensors.values()) {
    const own = checkpointName(name);
    if (own !== null && own !== undefined && own !== 'lm_head.weight' && !wanted.has(own)) throw oddTensor(file, name);
  }
}
