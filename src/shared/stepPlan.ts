/**
 * How a step is taken: in what the frozen weights are held and multiplied, and how many layers,
 * from the lowest, are computed again in the backward pass.
 */
export interface StepPlan {
  readonly base_dtype: 'float32' | 'bfloat16';
  readonly recomputed_layers: number;
}

/** As runs were trained before they told. */
export const UNRECORDED_STEP_PLAN: StepPlan = { base_dtype: 'float32', recomputed_layers: 0 };
