import type { TargetableModule } from './types';
import { countTrainable } from './count';

/** What the estimate needs to know of a decoder; all from config.json and the tensors' shapes. */
export interface DecoderSize {
  readonly parameters: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_layers: number;
  /** Query heads and key/value heads times head_dim. */
  readonly q_size: number;
  readonly kv_size: number;
  readonly num_heads: number;
  readonly vocab_size: number;
}

/** Bytes of each part at the peak of a training step. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly adapter: number;
  readonly activations: number;
  readonly working: number;
  readonly total: number;
}

const F32 = 4;
/** libtensorflow, Node and the tokenizer before a model is loaded (measured: 330 to 380 MB). */
const PROCESS = 360e6;
/** Rows of the output head that are computed at once. */
const HEAD_ROWS = 128;

/** Memory of a step in f32 by the scheme of src/models: weights once; A and B with gradient and AdamW's two moments; for each layer what its backward
 *  needs (h twice, q, k, v, o, x·Aᵀ, gate, up); one layer's working set; one chunk of logits. */
export function estimateMemory(size: DecoderSize, targets: readonly TargetableModule[], r: number, batch: number, length: number): MemoryEstimate {
  const tokens = batch * length;
  const { trainable } = countTrainable(targets, r);
  const kept = 2 * size.hidden_size + 2 * size.q_size + 2 * size.kv_size + 2 * size.intermediate_size + 4 * r;
  const scores = 3 * batch * size.num_heads * length * length;
  const inLayer = tokens * (4 * size.hidden_size + 4 * size.intermediate_size + 3 * size.q_size);
  const weights = size.parameters * F32;
  const adapter = trainable * F32 * 5;
  const activations = size.num_layers * tokens * kept * F32;
  const working = (scores + inLayer + 2 * Math.min(HEAD_ROWS, tokens) * size.vocab_size) * F32 + PROCESS;
  return { weights, adapter, activations, working, total: weights + adapter + activations + working };
}

/** The sizes that config.json gives, in either layout. */
export function decoderSize(config: Readonly<Record<string, unknown>>, parameters: number): DecoderSize {
  const at = (key: string, missing: number) => (typeof config[key] === 'number' ? config[key] : missing);
  const hidden_size = at('hidden_size', 0);
  const num_heads = at('num_attention_heads', 1);
  const head_dim = at('head_dim', hidden_size / num_heads);
  return {
    parameters, hidden_size, intermediate_size: at('intermediate_size', 4 * hidden_size), num_layers: at('num_hidden_layers', 0), num_heads,
    q_size: num_heads * head_dim, kv_size: at('num_key_value_heads', num_heads) * head_dim, vocab_size: at('vocab_size', 0),
  };
}
