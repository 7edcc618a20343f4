import type { RunScore } from './result';

/** `result.forgetting` in run.json: what a model has forgotten, on general text and chat. */
export interface RunForgetting {
  /** The loss before the first step, in nats per token: the base's. Null: not measured. */
  readonly base_loss: number | null;
  /** The same at the last evaluation. */
  readonly loss: number | null;
  /** The answers at the end. Null: there are none. */
  readonly answers: RunScore | null;
}

/** A smaller rise is within the effect of wording alone. */
const LEAST_RISE = 0.05;

/** Whether a loss on general text has risen enough to be reported. */
export const hasForgotten = (base_loss: number | null, loss: number | null): boolean =>
  base_loss !== null && loss !== null && loss - base_loss > LEAST_RISE;

/** What is read of the recipe. */
interface TrainedRecipe {
  readonly lora: { readonly target_modules: string | readonly string[] };
  readonly training: { readonly method: string };
}

/** The remedies against forgetting. */
export type ForgettingAdvice = 'rate' | 'replay' | 'mlp' | 'scale';

/**
 * What can be changed. Modules and scale are those of an adapter; MLP modules alone help only where
 * others are trained, too.
 */
export function forgettingAdvice({ lora, training }: TrainedRecipe): readonly ForgettingAdvice[] {
  if (training.method === 'full') return ['rate', 'replay'];
  const { target_modules: targets } = lora;
  const names = typeof targets === 'string' ? [targets] : targets;
  const trainsAttention = names.some((name) => !/(?:gate|up|down)_proj|fc|mlp/.test(name));
  return ['rate', 'replay', ...(trainsAttention ? (['mlp'] as const) : []), 'scale'];
}
