import type { Decoder, NextLogits, Sequence } from '../model';
import { checkedTokens, Drafter, type LikelyDraft } from './drafter';

/** A text that is written token by token. */
export interface Writer {
  /** All tokens but the last one. */
  readonly sequence: Sequence;
  readonly last: number;
  /** Most tokens that a step may add. */
  readonly left: number;
  /** Null: there are no drafts of it. */
  readonly drafter: Drafter | null;
  /** At which its tokens are drawn. */
  readonly temperature: number;
  /** Adds the next token, which it chooses of its logits; null once the text has ended. */
  readonly choose: (next: NextLogits) => number | null;
}

/**
 * The drafts of a text that begins with these tokens; null where the decoder takes none, which asks
 * for no tokens.
 */
export const drafterOf = (decoder: Decoder, ids: () => readonly number[]): Drafter | null =>
  decoder.drafts && new Drafter(ids());

/**
 * One step of some texts, which get at least one token each: further ones where drafts are kept.
 * These are the tokens that steps of one token choose, whatever the drafts, even where they are
 * drawn: each is chosen of the same logits with the same random number. A drafted token is kept as
 * often as it would be drawn, which is the chance that it has in speculative sampling (Leviathan et
 * al. 2023).
 */
export async function stepWithDrafts(decoder: Decoder, writers: readonly Writer[]): Promise<void> {
  const { drafts: checks } = decoder;
  const proposed = draftsOf(writers, checks?.rows ?? 0);
  const counts = checks
    ? checkedTokens(proposed, checks.rows, checks.times)
    : proposed.map(() => 0);
  const drafts = proposed.map((draft, i) => draft?.ids.slice(0, counts[i]) ?? []);
  const logits = await decoder.step(
    writers.map(({ sequence }) => sequence),
    writers.map(({ last }) => last),
    counts.some((count) => count > 0) ? drafts : undefined,
    writers.map(({ temperature }) => temperature),
  );
  let row = 0;
  writers.forEach((writer, i) => {
    const rows = logits.slice(row, row + 1 + drafts[i]!.length);
    row += rows.length;
    const kept = chosenTokens(writer, drafts[i]!, rows, () => checks?.keep(writer.sequence));
    if (proposed[i] && kept !== null) writer.drafter?.learn(proposed[i], counts[i]!, kept);
  });
}

/** Chooses tokens as long as they are those of the draft: how many are; null at the text's end. */
function chosenTokens(
  { choose, drafter }: Writer,
  draft: readonly number[],
  rows: readonly NextLogits[],
  keep: () => void,
): number | null {
  for (const [kept, next] of rows.entries()) {
    const id = choose(next);
    if (id === null) return null;
    drafter?.push(id);
    if (id !== draft[kept]) return kept;
    keep(); // before the next token: at the end of a text its sequence is kept
  }
  return draft.length;
}

/** None where there is no row left for any. */
const draftsOf = (writers: readonly Writer[], rows: number): readonly (LikelyDraft | null)[] =>
  writers.map(({ drafter, left }) => {
    const most = Math.min(rows - writers.length, left - 1);
    return most > 0 ? (drafter?.draft(most) ?? null) : null;
  });
