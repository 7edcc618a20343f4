import type { Config } from '../../formats/architecture/config';
import { readSpec } from '../../formats/architecture/readSpec';
import { parametersOf } from '../../formats/architecture/size';
import type { Spec } from '../../formats/architecture/spec';
import type { StepMachine } from '../../lora/stepPlan';
import type { CommonSize } from '../../shared/stepMemory';
import { usualMemory } from './usualMemory';

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

/** What a step of each would need on a machine. */
export const commonSizes = (machine: StepMachine): readonly CommonSize[] =>
  commonModels().map(({ model, spec }) => {
    const parameters = parametersOf(spec);
    return { model, parameters, memory: usualMemory({ spec, parameters }, machine) };
  });
