import { expect, it } from 'vitest';
import { callShares, checkCalls } from '../../../../src/engine/tasks/callScores';
import { Float } from '../../../../src/shared/exactValues';

const call = (name: string, args: object) => ({ name, arguments: args });
const said = (...calls: ReturnType<typeof call>[]) => ({ calls, isFaulty: false });
const FAULT = { calls: [], isFaulty: true };
const [A, B] = [call('f', { n: 1 }), call('g', { n: 2 })];
const ALL = { parsed: true, named: true, arguments: true, right: true };
const NONE = { parsed: false, named: false, arguments: false, right: false };
const PARSED = { ...NONE, parsed: true };

it.each([
  ['equal calls', said(A, B), said(A, B), ALL],
  ['in another order', said(B, A), said(A, B), ALL],
  ['numbers by value', said(call('f', { n: new Float(1) })), said(A), ALL],
  ['another tool', said(call('h', { n: 1 })), said(A), { ...PARSED, arguments: true }],
  ['other arguments', said(call('f', { n: 3 })), said(A), { ...PARSED, named: true }],
  [
    'arguments of the other call',
    said(call('f', { n: 2 }), call('g', { n: 1 })),
    said(A, B),
    { ...ALL, right: false },
  ],
  ['one call too few', said(A), said(A, B), PARSED],
  ['one call too many', said(A, A), said(A), PARSED],
  ['words instead of a call', said(), said(A), NONE],
  ['a call that cannot be read', FAULT, said(A), NONE],
  ['words where words are right', said(), said(), ALL],
  ['a call where words are right', said(A), said(), PARSED],
  ['an unreadable call where words are right', FAULT, said(), NONE],
])('checks %s', (_, answer, expected, checked) => {
  expect(checkCalls(answer, expected)).toEqual(checked);
});

it('counts shares of answers', () => {
  const checked = [checkCalls(said(A), said(A)), checkCalls(said(A), said(B))];
  expect(callShares(checked)).toEqual({
    calls_right: 0.5,
    calls_parsed: 1,
    calls_named: 0.5,
    calls_arguments: 0.5,
  });
  expect(callShares([])).toEqual({});
});
