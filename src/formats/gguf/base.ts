import path from 'node:path';
import { LoraError } from '../../shared/errors';
import type { BaseModel, TensorInfo, WeightSource } from '../types';
import { configOf } from './config';
import type { GgufTensor } from './header';
import { Metadata } from './metadata';
import { checkpointName, undoRotaryOrder } from './names';
import { GgufFile } from './read';
import { tokenizerOf } from './tokenizer';

/** Opens a .gguf file as the checkpoint that it was made of. Errors: LoraError. */
export async function openGgufBase(file: string): Promise<BaseModel> {
  const source = await GgufFile.open(file);
  try {
    const { tensors } = source.header;
    const metadata = new Metadata(source.header.metadata, file);
    const factors = tensors.get('rope_freqs.weight');
    const config = configOf(metadata, {
      has: (name) => tensors.has(name),
      vocab_size: tensors.get('token_embd.weight')?.shape[0] ?? 0,
      rope_factors: factors ? await source.readF32(factors) : null,
    });
    const weights = weightsOf(source, config);
    return {
      path: file, name: metadata.string('general.name', path.basename(file, '.gguf')), format: 'gguf', config, weights, weight_files: [file],
      parameters: [...weights.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      readTokenizer: () => Promise.resolve().then(() => tokenizerOf(metadata)),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function weightsOf(source: GgufFile, config: Readonly<Record<string, unknown>>): WeightSource {
  const stored = new Map<string, GgufTensor>();
  for (const tensor of source.header.tensors.values()) {
    const name = checkpointName(tensor.name);
    if (name !== null) stored.set(name, tensor);
  }
  const isPermuted = (name: string) => config['model_type'] === 'llama' && /self_attn\.[qk]_proj\./.test(name);
  return {
    tensors: new Map([...stored].map(([name, { dtype, shape }]): [string, TensorInfo] => [name, { name, dtype, shape }])),
    readF32: async (name) => {
      const tensor = stored.get(name);
      if (!tensor) throw new LoraError('base', 'The tensor is not in the file.', { place: { file: source.file, tensor: name } });
      const data = await source.readF32(tensor);
      return isPermuted(name) ? undoRotaryOrder(data, tensor.shape[0]!, Number(config['head_dim'])) : data;
    },
    close: () => source.close(),
  };
}
