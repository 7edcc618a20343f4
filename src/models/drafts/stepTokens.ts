import type { Sequence } from '../model';

/** The tokens of a step, those of a sequence one after the other. */
export interface StepTokens {
  readonly sequences: readonly Sequence[];
  /** How many tokens each sequence has. */
  readonly counts: readonly number[];
  readonly ids: Int32Array;
  readonly positions: Int32Array;
}

/** The next token of each sequence, and its draft. */
export function stepTokens(
  sequences: readonly Sequence[],
  ids: readonly number[],
  drafts: readonly (readonly number[])[] = sequences.map(() => []),
): StepTokens {
  const own = sequences.map((_, i) => [ids[i]!, ...drafts[i]!]);
  return {
    sequences,
    counts: own.map(({ length }) => length),
    ids: Int32Array.from(own.flat()),
    positions: Int32Array.from(
      sequences.flatMap(({ length, shift = 0 }, i) => own[i]!.map((_, k) => length + shift + k)),
    ),
  };
}
