import type { HeadLayout } from '../attention/headLayout';
import type { Tensor } from './tensor';

export interface FusedHeadLayout extends HeadLayout {
  readonly batch: number;
}

/** Which keys a query sees, and how scores become probabilities. */
export interface AttentionForm {
  readonly causal: boolean;
  /** Keys that a query sees to each side, including its own; null: all. */
  readonly window: number | null;
  readonly softcap: number | null;
  /** The score of a key without a value, of each head; null: there is none. */
  readonly sinks: Tensor | null; // [heads]
  /** A query sees the keys of its id: i32 [2 of queries and keys, batch, keys]; null: all. */
  readonly ids: Tensor | null;
}
