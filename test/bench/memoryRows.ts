import { usualMemory, type KnownBase } from '../../src/engine/model/usualMemory';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { parametersOf } from '../../src/formats/architecture/size';
import { tensorsOf } from '../../src/formats/architecture/modules';
import type { Config } from '../../src/formats/architecture/config';
import type { Spec } from '../../src/formats/architecture/spec';
import type { TypeMemory } from '../../src/shared/stepMemory';

/** The sizes of models that are published: width, inner width, layers, heads, vocabulary. */
const GEOMETRIES = [
  ['Qwen2.5-0.5B', 'qwen2', [896, 4864, 24, 14, 2, 151_936], true],
  ['Llama-3.2-1B', 'llama', [2048, 8192, 16, 32, 8, 128_256], true],
  ['Qwen2.5-1.5B', 'qwen2', [1536, 8960, 28, 12, 2, 151_936], true],
  ['Llama-3.2-3B', 'llama', [3072, 8192, 28, 24, 8, 128_256], true],
  ['Qwen2.5-7B', 'qwen2', [3584, 18_944, 28, 28, 4, 152_064], false],
  ['Llama-3.1-8B', 'llama', [4096, 14_336, 32, 32, 8, 128_256], false],
  ['Qwen2.5-14B', 'qwen2', [5120, 13_824, 48, 40, 8, 152_064], false],
] as const;

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: true, available: 0 };
/** Numbers of a block of Q4_0, and its bytes. */
const [BLOCK, BLOCK_BYTES] = [32, 18];

/** A row of cells for each size: the memory of a step in GB, and with recomputation. */
export const memoryRows = (): string[][] =>
  GEOMETRIES.map(([name, model_type, sizes, tie_word_embeddings]) => {
    const [hidden_size, intermediate_size, num_hidden_layers, heads, kv_heads, vocab_size] = sizes;
    const config: Config = {
      model_type,
      architectures: [model_type === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
      hidden_size,
      intermediate_size,
      num_hidden_layers,
      num_attention_heads: heads,
      num_key_value_heads: kv_heads,
      vocab_size,
      max_position_embeddings: 32_768,
      hidden_act: 'silu',
      rms_norm_eps: 1e-6,
      tie_word_embeddings,
    };
    const base = inQ4(readSpec(config, 'config.json'));
    const { types } = usualMemory(base, MACHINE);
    return [name, `${(base.parameters / 1e9).toFixed(1)} B`, ...types.map(cellOf)];
  });

const cellOf = ({ bytes, recomputed_bytes }: TypeMemory): string =>
  `${gigabytes(bytes)} / ${gigabytes(recomputed_bytes)}`;

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);

/** A base of which every matrix is in Q4_0, as in a GGUF file. */
function inQ4(spec: Spec): KnownBase {
  const tensors = new Map(
    tensorsOf(spec).body.map((own) => [own.name, { ...own, dtype: 'F32' as const }]),
  );
  const blocksOf = (name: string) => {
    const shape = tensors.get(name)?.shape ?? [];
    return shape.length === 2 ? { row_bytes: (shape[1]! / BLOCK) * BLOCK_BYTES } : null;
  };
  return { spec, parameters: parametersOf(spec), weights: { tensors, blocksOf } };
}
