import { UNRECORDED_STEP_PLAN, type StepPlan } from '../shared/stepPlan';
import type { TargetableModule } from './adapter';
import { countTrainable, rankIn, type ModuleRanks } from './count';

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
  /** Whether a token sees only those before it. */
  readonly causal: boolean;
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
/** libtensorflow, Node and the tokenizer before a model is loaded. */
export const PROCESS = 360e6;
/** Queries that attention works on together (src/models/attentionPlan.ts). */
const BLOCK_ROWS = 128;
/** Logits that exist at once (src/models/lmHead.ts), and their probabilities. */
const LOGITS = 2 * (32 << 20);

/** Bytes of a model that only answers. */
export const estimateLoaded = ({ parameters }: Pick<ModelSize, 'parameters'>): number =>
  1.2 * parameters * F32 + PROCESS;

/**
 * Memory of a step by the scheme of src/models: weights once; A and B with gradient and AdamW's two
 * moments; for each layer what its backward needs, of the recomputed ones their input alone; the
 * largest working set of a layer, and that of the output layer, whose memory is not used again.
 */
export function estimateMemory(
  size: ModelSize,
  targets: readonly TargetableModule[],
  ranks: ModuleRanks,
  batch: number,
  length: number,
  plan: StepPlan = UNRECORDED_STEP_PLAN,
): MemoryEstimate {
  const { trainable } = countTrainable(targets, ranks);
  const r = targets.reduce((sum, m) => sum + rankIn(ranks, m), 0) / size.num_layers;
  const wide = targets.some(
    (m) => m.in_features === size.inner_size || m.out_features === size.inner_size,
  );
  return summed({
    weights: size.parameters * bytesOf(plan),
    ...trained(trainable, 2),
    ...passing(size, { r, wide }, batch, length, plan),
  });
}

/**
 * The same step where every weight trains: gradients and moments as large as the model, and the
 * output layer's gradient of one part beside that of the parts before.
 */
export function estimateFullFineTuning(
  size: ModelSize,
  batch: number,
  length: number,
  plan: StepPlan = UNRECORDED_STEP_PLAN,
): MemoryEstimate {
  const { activations, working } = passing(size, { r: 0, wide: true }, batch, length, {
    ...plan,
    base_dtype: 'float32',
  });
  return summed({
    weights: size.parameters * F32,
    ...trained(size.parameters, 0),
    activations,
    working: working + 2 * F32 * size.outputs * size.hidden_size,
  });
}

const bytesOf = ({ base_dtype }: StepPlan): number => (base_dtype === 'bfloat16' ? 2 : F32);

const trained = (numbers: number, copies: number) => ({
  adapter: numbers * F32 * copies,
  gradients: numbers * F32,
  optimizer: 2 * numbers * F32,
});

/**
 * `r`: the mean of a layer's ranks, all its modules together; `wide`: some of them read or write
 * the MLP's inner numbers, in f32.
 */
function passing(
  size: ModelSize,
  { r, wide }: { readonly r: number; readonly wide: boolean },
  batch: number,
  length: number,
  plan: StepPlan,
): Pick<MemoryEstimate, 'activations' | 'working'> {
  const { hidden_size: d, q_size, kv_size, inner_size, num_layers, num_heads } = size;
  const tokens = batch * length;
  const own = bytesOf(plan);
  const inner = (size.gated ? 2 : 1) * inner_size;
  const scores = batch * scoresOf(size, length);
  // kept where they are small (src/models/transformer.ts)
  const probabilities = scores <= 2 * tokens * inner_size ? scores : 0;
  const layer =
    tokens * (F32 * (2 * d + 2 + r) + own * (2 * q_size + 2 * kv_size + inner)) +
    own * probabilities;
  const recomputed = Math.min(plan.recomputed_layers, num_layers - 1);
  const inMlp =
    tokens * (F32 * 6 * d + own * (inner + 2 * inner_size) + (wide ? 2 * F32 * inner_size : 0));
  const inAttention =
    tokens * (F32 * 5 * d + own * 3 * (q_size + kv_size)) +
    4 * own * batch * num_heads * Math.min(BLOCK_ROWS, length) * length;
  const head =
    Math.min(LOGITS, 2 * own * tokens * size.outputs) +
    own * size.outputs * d +
    3 * F32 * tokens * d;
  return {
    activations: (num_layers - recomputed) * layer + recomputed * tokens * F32 * d,
    working: Math.max(inMlp, inAttention) + head + PROCESS,
  };
}

/**
 * Scores of one row of the batch, over all heads: causal attention leaves out the keys behind each
 * block of queries.
 */
function scoresOf({ num_heads, causal }: ModelSize, length: number): number {
  let scores = 0;
  for (let start = 0; start < length; start += BLOCK_ROWS) {
    const end = Math.min(length, start + BLOCK_ROWS);
    scores += (end - start) * (causal ? end : length);
  }
  return num_heads * scores;
}

const summed = (parts: Omit<MemoryEstimate, 'total'>): MemoryEstimate => ({
  ...parts,
  total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0),
});
