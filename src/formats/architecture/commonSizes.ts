import type { StepMachine } from '../../lora/stepPlan';
import type { CommonSize, FileMemory } from '../../shared/stepMemory';
import { GGUF_TYPES } from '../gguf/header';
import type { DType } from '../tensorInfo';
import type { Config } from './config';
import { tensorsOf } from './modules';
import { readSpec } from './readSpec';
import { parametersOf } from './size';
import type { Spec } from './spec';
import { usualMemory, type KnownBase } from './usualMemory';

/**
 * Published models of 0.5 to 14 billion parameters, as their config.json on the Hub describes them:
 * width, inner width, layers, heads, heads of keys, vocabulary, and whether the head is the
 * embedding.
 */
const MODELS = [
  ['Qwen/Qwen2.5-0.5B-Instruct', 'qwen2', [896, 4864, 24, 14, 2, 151_936], true],
  ['meta-llama/Llama-3.2-1B-Instruct', 'llama', [2048, 8192, 16, 32, 8, 128_256], true],
  ['Qwen/Qwen2.5-1.5B-Instruct', 'qwen2', [1536, 8960, 28, 12, 2, 151_936], true],
  ['meta-llama/Llama-3.2-3B-Instruct', 'llama', [3072, 8192, 28, 24, 8, 128_256], true],
  ['Qwen/Qwen2.5-7B-Instruct', 'qwen2', [3584, 18_944, 28, 28, 4, 152_064], false],
  ['meta-llama/Llama-3.1-8B-Instruct', 'llama', [4096, 14_336, 32, 32, 8, 128_256], false],
  ['Qwen/Qwen2.5-14B-Instruct', 'qwen2', [5120, 13_824, 48, 40, 8, 152_064], false],
] as const;

/** The geometry of each: nothing is read or downloaded. */
export const commonModels = (): readonly { readonly model: string; readonly spec: Spec }[] =>
  MODELS.map(([model, model_type, sizes, tie_word_embeddings]) => {
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
    return { model, spec: readSpec(config, 'config.json') };
  });

/** The types of .gguf files whose memory is shown, the more exact one first. */
const FILE_TYPES = ['Q8_0', 'Q4_K'] as const satisfies DType[];
/** What llama.cpp uses where rows are not whole blocks of Q4_K. */
const OTHERWISE: DType = 'Q5_0';

/** What a step of each would need on a machine. */
export const commonSizes = (machine: StepMachine): readonly CommonSize[] =>
  commonModels().map(({ model, spec }) => {
    const parameters = parametersOf(spec);
    const memory = usualMemory({ spec, parameters }, machine);
    const files = FILE_TYPES.flatMap((type): FileMemory[] => {
      const { types } = usualMemory(storedAs(spec, type), machine);
      const found = types.find(({ base_dtype }) => base_dtype === 'quantized');
      return found ? [{ ...found, type }] : [];
    });
    return { model, parameters, memory, files };
  });

/** A model as a .gguf file whose matrices all have this type. */
export function storedAs(spec: Spec, type: DType): KnownBase {
  const tensors = new Map(
    tensorsOf(spec).body.map((own) => [own.name, { ...own, dtype: 'F32' as const }]),
  );
  const blocksOf = (name: string) => {
    const [, width, ...more] = tensors.get(name)?.shape ?? [];
    if (width === undefined || more.length > 0) return null;
    const own = GGUF_TYPES.get(type)!;
    const { block, bytes } = width % own.block === 0 ? own : GGUF_TYPES.get(OTHERWISE)!;
    return { row_bytes: (width / block) * bytes };
  };
  return { spec, parameters: parametersOf(spec), weights: { tensors, blocksOf } };
}
