import { describe, expect, it } from 'vitest';
import { runSteps, type Outcome, type Step } from '../../../../src/host/setup/steps';

type State = readonly string[];

/** A step that gives its outcomes one after another and notes what it saw. */
function step(seen: string[], name: string, ...outcomes: Outcome<State>['kind'][]): Step<State> {
  return (state, first) => {
    const kind = outcomes.shift()!;
    seen.push(`${name}${first ? '!' : ''}(${state.join('')}) ${kind}`);
    return Promise.resolve(kind === 'next' ? { kind, state: [...state, name] } : { kind });
  };
}

describe('runSteps', () => {
  it('goes back and forth and keeps what was answered', async () => {
    const seen: string[] = [];
    const end = await runSteps(
      [step(seen, 'a', 'next', 'next'), step(seen, 'b', 'back', 'next'), step(seen, 'c', 'next')],
      [],
    );
    expect(seen).toEqual(['a!() next', 'b(a) back', 'a!(a) next', 'b(aa) next', 'c(aab) next']);
    expect(end).toEqual(['a', 'a', 'b', 'c']);
  });

  it('skips steps without a question, in both directions', async () => {
    const seen: string[] = [];
    await runSteps(
      [
        step(seen, 'a', 'next', 'next'),
        step(seen, 'b', 'skip', 'skip', 'skip'),
        step(seen, 'c', 'back', 'next'),
      ],
      [],
    );
    expect(seen.map((s) => s[0])).toEqual(['a', 'b', 'c', 'b', 'a', 'b', 'c']);
  });

  it('ends without a result when cancelled, or when there is no step to go back to', async () => {
    expect(await runSteps([step([], 'a', 'next'), step([], 'b', 'cancel')], [])).toBeUndefined();
    expect(await runSteps([step([], 'a', 'back')], [])).toBeUndefined();
  });
});
