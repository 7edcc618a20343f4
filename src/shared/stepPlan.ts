/**
 * How steps are computed: the data type of the frozen weights, and how many layers, from the first,
 * are recomputed in the backward pass.
 */
export interface StepPlan {
  readonly base_dtype: 'float32' | 'bfloat16';
  readonly recomputed_layers: number;
}

/** The plan of runs whose record does not contain one, because an older version wrote it. */
export const UNRECORDED_STEP_PLAN: StepPlan = { base_dtype: 'float32', recomputed_layers: 0 };
