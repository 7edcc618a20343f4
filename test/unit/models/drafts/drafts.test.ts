import { describe, expect, it } from 'vitest';
import { checkedTokens, Drafter, type LikelyDraft } from '../../../../src/models/drafts/drafter';
import { LookupText } from '../../../../src/models/drafts/lookup';
import { StepTimes } from '../../../../src/models/drafts/stepTimes';
import { createRandom } from '../../../../src/shared/random';

describe('a draft', () => {
  it('is what followed the last tokens where they occurred before', () => {
    expect(new LookupText([1, 2, 3, 4, 9, 1, 2]).draft(3)).toEqual({ ids: [3, 4, 9], matched: 2 });
    expect(new LookupText([1, 2, 3, 4]).draft(3)).toBeNull();
    expect(new LookupText([2, 3, 4, 2]).draft(3)).toBeNull();
    expect(new LookupText([1, 2, 3, 1, 2]).draft(0)).toBeNull();
    expect(new LookupText([]).draft(2)).toBeNull();
  });

  it('comes from the longest match, and of equal ones from the last', () => {
    const longest = new LookupText([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2]);
    expect(longest.draft(1)).toEqual({ ids: [3], matched: 3 });
    const last = new LookupText([7, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2]);
    expect(last.draft(1)).toEqual({ ids: [4], matched: 2 });
  });

  it('repeats what a text repeats, beyond its end', () => {
    expect(new LookupText([5, 6, 7, 5, 6]).draft(7)!.ids).toEqual([7, 5, 6, 7, 5, 6, 7]);
    expect(new LookupText([4, 4, 4]).draft(4)).toEqual({ ids: [4, 4, 4, 4], matched: 2 });
  });

  it('is found in a text of any length', () => {
    const text = new LookupText([1, 2, 3]);
    for (let i = 0; i < 5000; i++) text.push(1000 + i);
    for (const id of [1, 2]) text.push(id);
    expect(text.draft(2)).toEqual({ ids: [3, 1000], matched: 2 });
  });
});

const likely = (...chances: number[]): LikelyDraft => ({
  chances,
  ids: chances.map((_, i) => i),
  matched: 2,
});
const linear = (further: number) => ({
  ratio: (from: number, to: number) => (1 + further * (to - 1)) / (1 + further * (from - 1)),
});

describe('the tokens that are checked', () => {
  it('are those that a step is worth', () => {
    expect(checkedTokens([likely(0.9, 0.9, 0.1)], 8, linear(0.2))).toEqual([2]);
    expect(checkedTokens([likely(0.1, 0.9)], 8, linear(0.2))).toEqual([0]);
    expect(checkedTokens([null], 8, linear(0))).toEqual([0]);
    expect(checkedTokens([likely(0.5, 0.5)], 8, linear(1))).toEqual([0]);
  });

  it('are shared by several texts, up to as many rows', () => {
    const drafts = [likely(0.9, 0.1), null, likely(0.95, 0.95, 0.95)];
    expect(checkedTokens(drafts, 8, linear(0.1))).toEqual([1, 0, 3]);
    expect(checkedTokens(drafts, 5, linear(0.1))).toEqual([0, 0, 2]);
    expect(checkedTokens(drafts, 3, linear(0))).toEqual([0, 0, 0]);
    expect(checkedTokens(drafts, 2, linear(0))).toEqual([0, 0, 0]);
  });

  it('are fewer where drafts fail, and more where they are kept', () => {
    const drafter = new Drafter([1, 2, 3, 4, 5, 6, 1, 2]);
    const checked = () => checkedTokens([drafter.draft(5)], 8, linear(0.15))[0]!;
    const first = checked();
    expect(first).toBeGreaterThan(0);
    for (let i = 0; i < 10; i++) drafter.learn(drafter.draft(5)!, 1, 0);
    expect(checked()).toBe(0);
    // after some time they are tried again
    for (let i = 0; i < 100; i++) drafter.learn(drafter.draft(5)!, 0, 0);
    expect(checked()).toBeGreaterThan(0);
    for (let i = 0; i < 10; i++) drafter.learn(drafter.draft(5)!, 5, 5);
    expect(checked()).toBe(5);
  });
});

/** The speed with drafts of a text, as a share of that without. */
function speed(ids: readonly number[], further: number): number {
  const drafter = new Drafter(ids.slice(0, 50));
  const times = linear(further);
  let cost = 0;
  let at = 50;
  while (at < ids.length) {
    const draft = drafter.draft(7);
    const [count] = checkedTokens([draft], 8, times) as [number];
    cost += times.ratio(1, 1 + count);
    let kept = 0;
    while (kept < count && ids[at + kept] === draft!.ids[kept]) kept++;
    for (const id of ids.slice(at, at + kept + 1)) drafter.push(id);
    if (draft) drafter.learn(draft, count, kept);
    at += kept + 1;
  }
  return (ids.length - 50) / cost;
}

describe('texts', () => {
  it.each([0.05, 0.15, 0.5, 1])(
    'in which nothing can be foreseen are hardly slower where a row costs %f',
    (further) => {
      const random = createRandom(3, 'drafts');
      // each pair of tokens was there before, so that there always is a draft
      for (const kinds of [5, 12, 30]) {
        const ids = Array.from({ length: 2000 }, () => Math.floor(random() * kinds));
        expect(speed(ids, further), `${kinds}`).toBeGreaterThan(0.96);
      }
    },
  );

  it('that repeat themselves are faster', () => {
    const ids = Array.from({ length: 1000 }, (_, i) => i % 37);
    expect(speed(ids, 0.15)).toBeGreaterThan(3);
  });
});

describe('times of steps', () => {
  const measured = (count: number, of: (rows: number) => number, rows = [1, 2, 4]) => {
    const times = new StepTimes();
    for (let i = 0; i < count; i++) for (const own of rows) times.add(own, of(own));
    return times;
  };

  it('are measured, and thought of by the nearest measured ones', () => {
    expect(new StepTimes().ratio(1, 2)).toBeCloseTo(1.15);
    const times = measured(60, (rows) => 5 * rows ** 0.7);
    for (const [from, to] of [
      [1, 2],
      [2, 4],
      [1, 4],
    ] as const) {
      const wanted = (to / from) ** 0.7;
      expect(times.ratio(from, to) / wanted).toBeGreaterThan(0.9);
      expect(times.ratio(from, to) / wanted).toBeLessThan(1.05);
    }
    // not measured: more than is thought
    expect(times.ratio(4, 8)).toBeGreaterThan(new StepTimes().ratio(4, 8));
  });

  it('stay the same where other work makes all steps longer, or one', () => {
    const times = measured(60, (rows) => 5 + rows);
    const before = times.ratio(1, 4);
    times.add(4, 500);
    expect(times.ratio(1, 4)).toBeLessThan(1.25 * before);
    for (let i = 0; i < 60; i++) for (const own of [1, 2, 4]) times.add(own, 3 * (5 + own));
    expect(times.ratio(1, 4)).toBeCloseTo(before, 0);
  });

  it('are tried again after a wrong first measurement', () => {
    const times = new StepTimes();
    times.add(1, 5);
    times.add(2, 50);
    expect(times.ratio(1, 2)).toBeGreaterThan(1.5);
    for (let i = 0; i < 1000; i++) times.add(1, 5);
    expect(times.ratio(1, 2)).toBeLessThan(1.3);
  });

  it('never say that further rows are free', () => {
    expect(measured(60, () => 5).ratio(1, 8)).toBeCloseTo(1.21);
  });
});
