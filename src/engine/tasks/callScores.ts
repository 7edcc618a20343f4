import type { ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import { sameJson } from '../../data/chat/calls/sameJson';
import type { Scores } from '../../shared/metrics/lines';

/** The correctness of the calls of an answer. */
export interface CheckedCalls {
  /** No call is unreadable, and there is one where one is expected. */
  readonly parsed: boolean;
  /** The tools that are called are the expected ones; none where none is expected. */
  readonly named: boolean;
  /** The arguments are the expected ones, numbers by their value. */
  readonly arguments: boolean;
  /** All of that, each call with its own arguments. The order of calls does not matter. */
  readonly right: boolean;
}

/** The parts of an answer that calls are compared by. */
type Calling = Pick<ParsedAnswer, 'calls' | 'isFaulty'>;

export function checkCalls(answer: Calling, expected: Calling): CheckedCalls {
  const { calls, isFaulty } = answer;
  const parsed = !isFaulty && (calls.length > 0 || expected.calls.length === 0);
  const matches = (same: (a: Call, b: Call) => boolean) =>
    parsed && sameItems(calls, expected.calls, same);
  return {
    parsed,
    named: matches((a, b) => a.name === b.name),
    arguments: matches((a, b) => sameJson(a.arguments, b.arguments)),
    right: matches((a, b) => a.name === b.name && sameJson(a.arguments, b.arguments)),
  };
}

type Call = ParsedAnswer['calls'][number];

/** Whether two lists hold the same, in any order. */
function sameItems(
  items: readonly Call[],
  others: readonly Call[],
  same: (a: Call, b: Call) => boolean,
): boolean {
  if (items.length !== others.length) return false;
  const rest = [...others];
  return items.every((item) => {
    const at = rest.findIndex((other) => same(item, other));
    if (at >= 0) rest.splice(at, 1);
    return at >= 0;
  });
}

/** The shares of answers. None without answers. */
export function callShares(checked: readonly CheckedCalls[]): Scores {
  if (checked.length === 0) return {};
  const share = (key: keyof CheckedCalls) =>
    checked.filter((own) => own[key]).length / checked.length;
  return {
    calls_right: share('right'),
    calls_parsed: share('parsed'),
    calls_named: share('named'),
    calls_arguments: share('arguments'),
  };
}
