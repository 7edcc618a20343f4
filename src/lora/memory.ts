import type { TargetableModule } from './types';
import { countTrainable, rankIn, type Ranks } from './count';

/** What the estimate needs to know of a model. */
export interface ModelSize {
  readonly parameters: number;
  readonly hidden_size: number;
  /** Inner size of the MLP, and whether it has a gate. */
  readonly inner_size: number;
  readonly gated: boolean;
  readonly num_layers: number;
  /** Query heads and key/value heads times head_dim. */
  readonly q_size: number;
  readonly kv_size: number;
  readonly num_heads: number;
  /** What the head gives for a position: the vocabulary, or the labels. */
  readonly outputs: number;
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

/** Bytes of a model that only answers. */
export const estimateLoaded = ({ parameters }: Pick<ModelSize, 'parameters'>): number => 1.2 * parameters * F32 + PROCESS;

/** Memory of a step in f32 by the scheme of src/models: weights once; A and B with gradient and AdamW's two moments; for each layer what its backward
 *  needs (h twice, q, k, v, o, x·Aᵀ, gate, up); one layer's working set; one chunk of logits. */
export function estimateMemory(size: ModelSize, targets: readonly TargetableModule[], ranks: Ranks, batch: number, length: number): MemoryEstimate {
  const tokens = batch * length;
  const { trainable } = countTrainable(targets, ranks);
  const r = Math.max(0, ...targets.map((m) => rankIn(ranks, m)));
  const inner = (size.gated ? 2 : 1) * size.inner_size;
  const kept = 2 * size.hidden_size + 2 * size.q_size + 2 * size.kv_size + inner + 4 * r;
  const scores = 3 * batch * size.num_heads * length * length;
  const inLayer = tokens * (4 * size.hidden_size + 2 * inner + 3 * size.q_size);
  const weights = size.parameters * F32;
  const adapter = trainable * F32 * 5;
  const activations = size.num_layers * tokens * kept * F32;
  const working = (scores + inLayer + 2 * Math.min(HEAD_ROWS, tokens) * size.outputs) * F32 + PROCESS;
  return { weights, adapter, activations, working, total: weights + adapter + activations + working };
}
