import { toBF16 } from '../../src/formats/floats';
import type { BaseModel } from '../../src/formats/baseModel';
import type { TensorInfo } from '../../src/formats/tensorInfo';
import { adaptedModulesOf, tensorsOf } from '../../src/formats/architecture/modules';
import { readSpec } from '../../src/formats/architecture/readSpec';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import type { LabelledInput } from '../../src/models/model';
import { elementCount } from '../../src/models/ops/ops';
import { createRandom } from '../../src/shared/random';
import { NO_ADAPTER } from './models';

type Config = Readonly<Record<string, unknown>>;

/** Grouped queries, biases, a window on one layer of two, and an output layer that is not tied. */
export const SMALL_CONFIG: Config = {
  model_type: 'qwen2',
  vocab_size: 40,
  hidden_size: 24,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000,
  tie_word_embeddings: false,
  layer_types: ['full_attention', 'sliding_attention'],
  sliding_window: 6,
};

const numbers = (size: number, spread: number, ...name: string[]): Float32Array => {
  const random = createRandom(7, ...name);
  return Float32Array.from({ length: size }, () => (random() + random() + random() - 1.5) * spread);
};

/** A base with random weights, in memory. */
export function smallBase(config: Config = SMALL_CONFIG): BaseModel {
  const spec = readSpec(config, 'small');
  const { body, head } = tensorsOf(spec);
  const tensors = new Map(
    [...body, ...head].map(({ name, shape }): [string, TensorInfo] => [
      name,
      { name, shape, dtype: 'F32' },
    ]),
  );
  const readF32 = (
    name: string,
    target = new Float32Array(elementCount(tensors.get(name)!.shape)),
  ) => {
    target.set(numbers(target.length, name.includes('norm') ? 2 : 0.5, name));
    return Promise.resolve(target);
  };
  return {
    path: 'small',
    name: 'small',
    hub: null,
    format: 'safetensors',
    config,
    spec,
    missing: [],
    replaced: new Set(),
    weights: {
      tensors,
      readF32,
      readBF16: async (name, target) => toBF16(await readF32(name), target),
      close: () => Promise.resolve(),
    },
    weight_files: [],
    parameters: 0,
    readTokenizer: () => Promise.reject(new Error('The small base has no tokenizer.')),
    close: () => Promise.resolve(),
  };
}

/** An adapter on the modules that `isAdapted` selects, without zeros. */
export function smallAdapter(
  isAdapted: (path: string) => boolean,
  config: Config = SMALL_CONFIG,
): Adapter {
  const modules = adaptedModulesOf(readSpec(config, 'small')).filter((m) => isAdapted(m.path));
  return {
    config: NO_ADAPTER.config,
    trained: [],
    modules: modules.map(({ path, kind, in_features, out_features }, i): LoraFactors => {
      const r = 2 + (i % 3);
      return {
        path,
        kind,
        r,
        in_features,
        out_features,
        scaling: 1.5,
        magnitude: null,
        A: numbers(r * in_features, 0.4, path, 'A'),
        B: numbers(r * out_features, 0.4, path, 'B'),
      };
    }),
  };
}

/** Rows of different lengths, padded on one side; 40 % of the tokens have a label. */
export function smallInput(
  padding: 'left' | 'right' | 'none',
  batch = 3,
  length = 11,
  vocab = 40,
): LabelledInput {
  const random = createRandom(3, padding);
  const ids = Int32Array.from({ length: batch * length }, () => Math.floor(random() * vocab));
  const mask = new Int32Array(ids.length).fill(1);
  for (let row = 0; row < batch; row++) {
    const pads = padding === 'none' ? 0 : row * 3;
    const start = row * length + (padding === 'left' ? 0 : length - pads);
    mask.fill(0, start, start + pads);
  }
  const labels = ids.map((id, i) => (mask[i] === 1 && random() < 0.4 ? id : -100));
  return { batch, length, input_ids: ids, attention_mask: mask, labels };
}
