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
  /** A and B, and the copy that their products use. */
  readonly adapter: number;
  readonly gradients: number;
  /** AdamW's two moments. */
  readonly optimizer: number;
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
  const { trainable } = countTrainable(targets, ranks);
  const r = Math.max(0, ...targets.map((m) => rankIn(ranks, m)));
  return summed({ weights: size.parameters * F32, ...trained(trainable, 2), ...passing(size, r, batch, length) });
}

/** The same step where every weight trains: gradients and moments as large as the model. */
export function estimateFull(size: ModelSize, batch: number, length: number): MemoryEstimate {
  return summed({ weights: size.parameters * F32, ...trained(size.parameters, 0), ...passing(size, 0, batch, length) });
}

const trained = (numbers: number, copies: number) => ({ adapter: numbers * F32 * copies, gradients: numbers * F32, optimizer: 2 * numbers * F32 });

function passing(size: ModelSize, r: number, batch: number, length: number): Pick<MemoryEstimate, 'activations' | 'working'> {
  const tokens = batch * length;
  const inner = (size.gated ? 2 : 1) * size.inner_size;
  const kept = 2 * size.hidden_size + 2 * size.q_size + 2 * size.kv_size + inner + 4 * r;
  const scores = 3 * batch * size.num_heads * length * length;
  const inLayer = tokens * (4 * size.hidden_size + 2 * inner + 3 * size.q_size);
  return { activations: size.num_layers * tokens * kept * F32, working: (scores + inLayer + 2 * Math.min(HEAD_ROWS, tokens) * size.outputs) * F32 + PROCESS };
}

const summed = (parts: Omit<MemoryEstimate, 'total'>): MemoryEstimate => ({ ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) });
