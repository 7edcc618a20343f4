/**
 * How a step ended. `skip`: it had nothing to ask, so the next step in the same direction follows.
 */
export type Outcome<S> =
  | { readonly kind: 'next'; readonly state: S }
  | { readonly kind: 'back' }
  | { readonly kind: 'skip' }
  | { readonly kind: 'cancel' };

/** A step of a wizard. `first`: there is no step to go back to. */
export type Step<S> = (state: S, first: boolean) => Promise<Outcome<S>>;

/**
 * Runs the steps of a wizard, forwards and backwards as the user chooses; answers are kept when
 * they go back. Undefined: cancelled.
 */
export async function runSteps<S>(steps: readonly Step<S>[], initial: S): Promise<S | undefined> {
  let state = initial;
  let direction = 1;
  for (let at = 0; at < steps.length; at += direction) {
    const outcome = await steps[at]!(state, at === 0);
    if (outcome.kind === 'cancel' || (outcome.kind === 'back' && at === 0)) return undefined;
    if (outcome.kind === 'next') state = outcome.state;
    if (outcome.kind !== 'skip') direction = outcome.kind === 'back' ? -1 : 1;
  }
  return state;
}
