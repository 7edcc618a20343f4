import type { AttentionForm, Heads } from '../ops/fusedOps';
import type { Ops, Tensor } from '../ops/ops';
import type { Distances } from './distances';
import type { AttentionShape } from './headLayout';
import type { AttentionWindow, Batch, RowBlock } from './rowBlocks';
import type { ScoreBias } from './scoreBias';

/** Of attention in blocks of queries and keys without the kernel. */
export interface BlockPlan extends AttentionWindow {
  readonly input: Batch;
  readonly bias: ScoreBias | null;
  /** Of a block. */
  readonly queries: number;
  readonly keys: number;
}

/** State shared by all layers that see the same keys. */
type WindowForm = Omit<AttentionForm, 'softcap' | 'sinks'>;

/**
 * Which keys the queries see, and how attention is computed: by the fused kernel; with the scores
 * of whole rows; or in blocks of queries and keys, for long rows without the kernel.
 */
export type SeenKeys =
  | { readonly kind: 'kernel'; readonly form: WindowForm }
  | { readonly kind: 'rows'; readonly blocks: readonly RowBlock[] }
  | { readonly kind: 'blocks'; readonly plan: BlockPlan };

/**
 * The factors of q and k before their product. rotate: the tables of `buildRotaryTable`,
 * attention's scale included, for both directions. scale: attention's scale alone.
 */
export type RotaryTable =
  | { readonly kind: 'rotate'; readonly forward: Tensor; readonly backward: Tensor }
  | { readonly kind: 'scale'; readonly row: Tensor }
  | RotaryBeforeNorm;

/** The rotation alone, which the norms of q and k follow, and then attention's scale. */
interface RotaryBeforeNorm {
  readonly kind: 'before_norm';
  readonly forward: Tensor;
  readonly backward: Tensor;
  readonly row: Tensor;
}

/** How heads are cut and rotated. */
export interface HeadsPass {
  readonly ops: Ops;
  readonly shape: AttentionShape;
  readonly rope: RotaryTable;
}

/** One layer's attention over one batch. */
export interface AttentionPass extends HeadsPass {
  readonly seen: SeenKeys;
  /** Scores become softcap · tanh(score / softcap); null: they stay as they are. */
  readonly softcap: number | null;
  /** The score of a key without a value, of each head; null: there is none. */
  readonly sinks: Tensor | null; // [heads]
  /** Distance embeddings that take part in the scores. Not given: none. */
  readonly distances?: Distances | undefined;
}

export interface AttentionOutput {
  readonly o: Tensor; // [n, heads · head_dim]
  /**
   * What the backward pass reads beside o. kernel: `Attended.stats`. blocks: of each block of
   * queries the largest score and the sum. rows: of each block the probabilities [batch · kv_heads,
   * group · rows, keys], if they were to be kept.
   */
  readonly kept: readonly Tensor[] | null;
}

export interface AttentionGradient {
  readonly dHeads: Heads;
  readonly dDistances: Distances;
}
