import * as v from 'valibot';
import { parsed } from '../parsed';

const VoteSchema = v.object({
  /** Index of the row in rows.jsonl. */
  row: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Names of the columns, in the order in which their answers were shown. */
  left: v.string(),
  right: v.string(),
  winner: v.picklist(['left', 'right', 'tie']),
  /** ISO 8601. */
  time: v.string(),
});
/**
 * A line of votes.jsonl: which of two answers is better. Written by appending; of several votes on
 * the same row and columns the last one counts.
 */
export type Vote = v.InferOutput<typeof VoteSchema>;

/** A line of votes.jsonl; undefined if it is not valid. */
export const asVote = parsed(VoteSchema);

/** The votes that count: the last one on each row and pair of columns, in either order. */
export function lastVotes(votes: readonly Vote[]): readonly Vote[] {
  const last = new Map<string, Vote>();
  for (const vote of votes)
    last.set(JSON.stringify([vote.row, ...[vote.left, vote.right].sort()]), vote);
  return [...last.values()];
}

/** How a vote counts for one of its columns: 1: won, 0: lost, 0.5: a tie. Null: not its column. */
export function voteFor({ left, right, winner }: Vote, column: string): number | null {
  if (column !== left && column !== right) return null;
  if (winner === 'tie') return 0.5;
  return (winner === 'left' ? left : right) === column ? 1 : 0;
}
