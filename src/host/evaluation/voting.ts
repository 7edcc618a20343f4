import { judgeAgreement } from '../../shared/evaluation/judge';
import { ratingsOf, type Comparison } from '../../shared/evaluation/ratings';
import type { EvaluatedCell, EvaluatedRow } from '../../shared/evaluation/result';
import { expectedOf } from '../../shared/evaluation/suite';
import { lastVotes, type Vote } from '../../shared/evaluation/votes';
import type { Ballot, VoteChoice, VoteRatings } from '../../shared/pages/evaluation/protocol';
import { createRandom, shuffle } from '../../shared/random';
import { answerText, turnsOf } from './rowViews';

/** Two answers to a row: indices of the columns that are shown on the left and on the right. */
interface Pair {
  readonly row: EvaluatedRow;
  readonly left: number;
  readonly right: number;
}

/** More would take minutes to vote on, and to rate: an evaluation may be someone else's. */
const MOST_COLUMNS = 16;
const MOST_PAIRS = 200_000;
const isComparable = ({ length }: readonly string[]): boolean => length <= MOST_COLUMNS;

/** Checks whose answer is no text that people could prefer. */
const WITHOUT_ANSWER: ReadonlySet<string> = new Set(['perplexity', 'choice', 'label']);

/**
 * Votes on pairs of answers without names, in an order and on sides that are drawn by lot: the same
 * for the same evaluation, so that voting continues where it was left.
 */
export class Voting {
  private readonly pairs: readonly Pair[];
  /** How many pairs are left out because their answers are equal. */
  private readonly equal: number;
  private votes: readonly Vote[];
  private readonly skipped = new Set<number>();
  /** How many votes of this session can be taken back. */
  private undoable = 0;

  constructor(
    id: string,
    private readonly columns: readonly string[],
    rows: readonly EvaluatedRow[],
    votes: readonly Vote[],
  ) {
    const random = createRandom(0, 'voting', id);
    const most = isComparable(columns) ? MOST_PAIRS / columns.length ** 2 : 0;
    const all = rows.slice(0, most).flatMap((row) => pairsOf(row, columns.length));
    const different = all.filter((pair) => isDifferent(pair));
    this.equal = all.length - different.length;
    this.pairs = shuffle(different, random).map((pair) =>
      random() < 0.5 ? pair : { ...pair, left: pair.right, right: pair.left },
    );
    this.votes = lastVotes(votes);
  }

  /** The votes that count, the last one last. */
  get counted(): readonly Vote[] {
    return this.votes;
  }

  /** The next pair without a vote; null: none is left. */
  next(): Ballot | null {
    const done = new Set(this.votes.map(keyOfVote));
    const open = this.pairs.flatMap((pair, id) => (done.has(this.keyOf(pair)) ? [] : [id]));
    const id = open.find((own) => !this.skipped.has(own));
    const pair = id === undefined ? undefined : this.pairs[id];
    if (id === undefined || !pair) return null;
    const { row, left, right } = pair;
    return {
      id,
      done: this.pairs.length - open.length,
      total: this.pairs.length,
      turns: [...turnsOf(row.row)],
      expected: expectedOf(row.row),
      left: answerText(row.cells[left]!),
      right: answerText(row.cells[right]!),
      canUndo: this.undoable > 0,
    };
  }

  /** Counts a vote; undefined: there is no such pair. */
  vote(id: number, winner: VoteChoice, time: string): Vote | undefined {
    const pair = this.pairs[id];
    if (!pair) return undefined;
    const [left, right] = [this.columns[pair.left]!, this.columns[pair.right]!];
    const vote: Vote = { row: pair.row.index, left, right, winner, time };
    this.votes = lastVotes([...this.votes, vote]);
    this.undoable++;
    return vote;
  }

  /** Shows another pair first. */
  skip(id: number): void {
    this.skipped.add(id);
  }

  /** Takes back the last vote of this session; false: there is none. */
  undo(): boolean {
    if (this.undoable === 0) return false;
    this.votes = this.votes.slice(0, -1);
    this.undoable--;
    return true;
  }

  /** What the votes come to; null: there are none. */
  ratings(rows: readonly EvaluatedRow[]): VoteRatings | null {
    const comparisons = this.votes.flatMap((vote) => this.comparisonOf(vote) ?? []);
    if (comparisons.length === 0 || !isComparable(this.columns)) return null;
    const columns = this.columns.map((name) => ({ name }));
    return {
      votes: comparisons.length,
      pairs: this.pairs.length,
      equal: this.equal,
      ratings: ratingsOf(this.columns.length, comparisons).map((own, column) => ({
        column,
        ...own,
      })),
      agreement: judgeAgreement(rows, columns, this.votes),
    };
  }

  private comparisonOf({ left, right, winner }: Vote): Comparison | undefined {
    const [a, b] = [this.columns.indexOf(left), this.columns.indexOf(right)];
    if (a < 0 || b < 0 || a === b) return undefined;
    const score = { left: 1, tie: 0.5, right: 0 } as const;
    return { a, b, score: score[winner] };
  }

  private keyOf({ row, left, right }: Pair): string {
    return keyOf(row.index, this.columns[left]!, this.columns[right]!);
  }
}

const keyOf = (row: number, left: string, right: string): string =>
  JSON.stringify([row, ...[left, right].sort()]);
const keyOfVote = ({ row, left, right }: Vote): string => keyOf(row, left, right);

function pairsOf(row: EvaluatedRow, columns: number): Pair[] {
  if (WITHOUT_ANSWER.has(row.row.check.kind)) return [];
  const answered = Array.from({ length: columns }, (_, column) => column).filter((column) =>
    isAnswered(row.cells[column]),
  );
  return answered.flatMap((left, i) =>
    answered.slice(i + 1).map((right) => ({ row, left, right })),
  );
}

const isAnswered = (cell: EvaluatedCell | undefined): boolean => cell?.error === null;

const isDifferent = ({ row, left, right }: Pair): boolean =>
  answerText(row.cells[left]!).trim() !== answerText(row.cells[right]!).trim();
