import { describe, expect, it } from 'vitest';
import type { Vote } from '../../../../src/shared/evaluation/votes';
import { Voting } from '../../../../src/host/evaluation/voting';
import { exampleEvaluation } from '../../../support/evaluation.mjs';

const { evaluation, rows } = exampleEvaluation();
const names = evaluation.columns.map(({ name }) => name);
const TIME = '2026-01-02T04:00:00.000Z';
const voting = (votes: readonly Vote[] = []) => new Voting(evaluation.id, names, rows, votes);

/** Votes on all pairs; the text of the winner fits. */
function voteAll(own: Voting, winner: RegExp): void {
  for (let ballot = own.next(); ballot; ballot = own.next()) {
    const [left, right] = [winner.test(ballot.left), winner.test(ballot.right)];
    const choice = left ? 'left' : 'right';
    own.vote(ballot.id, left === right ? 'tie' : choice, TIME);
  }
}

describe('blind voting', () => {
  it('draws the same pairs and sides again, and both sides of each column', () => {
    const [one, other] = [voting(), voting()];
    const sides = new Set<string>();
    for (let ballot = one.next(); ballot; ballot = one.next()) {
      expect(ballot).toEqual(other.next());
      const vote = one.vote(ballot.id, 'tie', TIME)!;
      other.vote(ballot.id, 'tie', TIME);
      sides.add(vote.left);
    }
    expect(one.counted).toEqual(other.counted);
    expect([...sides].sort()).toEqual([...names].sort());
  });

  it('leaves out equal answers and errors, and names no model', () => {
    const own = voting();
    voteAll(own, /never/);
    const pairs = own.counted.map(({ row, left, right }) => ({
      cells: rows[row]!.cells,
      columns: [names.indexOf(left), names.indexOf(right)] as const,
    }));
    for (const { cells, columns } of pairs) {
      const [left, right] = [cells[columns[0]]!, cells[columns[1]]!];
      expect(left.answer).not.toBe(right.answer);
      expect([left.error, right.error]).toEqual([null, null]);
    }
    const { pairs: total, equal } = own.ratings(rows)!;
    // one of three answers in arithmetic has an error, which leaves one pair of it
    expect(total + equal).toBe(3 * rows.length - 2);
    const shown = JSON.stringify(voting().next());
    for (const name of names) expect(shown).not.toContain(name);
  });

  it('goes on where it was left, and takes back only votes of the session', () => {
    const first = voting();
    const { id, total } = first.next()!;
    first.vote(id, 'left', TIME);
    const second = voting(first.counted);
    expect(second.next()).toMatchObject({ done: 1, total, canUndo: false });
    expect(second.undo()).toBe(false);
    second.vote(second.next()!.id, 'right', TIME);
    expect(second.next()).toMatchObject({ done: 2, canUndo: true });
    expect(second.undo()).toBe(true);
    expect(second.counted).toEqual(first.counted);
  });

  it('passes over skipped pairs, and ends when none is left', () => {
    const own = voting();
    const skipped = own.next()!.id;
    own.skip(skipped);
    expect(own.next()!.id).not.toBe(skipped);
    voteAll(own, /never/);
    expect(own.next()).toBeNull();
    expect(own.counted).toHaveLength(own.ratings(rows)!.pairs - 1);
    expect(own.vote(99_999, 'left', TIME)).toBeUndefined();
  });

  it('rates the model that is preferred highest, and compares the votes with the judge', () => {
    const own = voting();
    expect(own.ratings(rows)).toBeNull();
    voteAll(own, /^git |top of/);
    const { ratings, agreement } = own.ratings(rows)!;
    const best = ratings.toSorted((a, b) => b.rating - a.rating)[0]!;
    expect(best.column).toBe(1);
    // the judge prefers the second model in 3 of 6 rows, and the third in none; so do the votes
    // tie the third with the first
    expect(agreement).toMatchObject({ votes: 12, agreed: 3 });
  });

  it('offers no pairs of very many columns, and not all of very many rows', () => {
    const many = Array.from({ length: 2_000 }, (_, i) => `m${i}`);
    const [row] = rows;
    const wide = { ...row!, cells: many.map(() => row!.cells[0]!) };
    const vote: Vote = { row: 0, left: 'm0', right: 'm1', winner: 'left', time: TIME };
    const own = new Voting('x', many, [wide], [vote]);
    expect(own.next()).toBeNull();
    expect(own.ratings([wide])).toBeNull();
    const long = Array.from({ length: 100_000 }, (_, index) => ({ ...row!, index }));
    expect(new Voting('x', names, long, []).next()!.total).toBeLessThan(200_000);
  });

  it('ignores votes of others: unknown columns and rows', () => {
    const vote: Vote = { row: 0, left: 'x', right: names[0]!, winner: 'left', time: TIME };
    expect(voting([vote]).ratings(rows)).toBeNull();
  });
});
