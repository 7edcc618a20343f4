import { isBetter, isGreaterBetter, metricOf, type BestMetric } from '../../shared/bestMetric';
import type { EvalLine } from '../../shared/metrics/lines';
import type { TrainingSettings } from '../../shared/recipe';

/** What the best evaluation and the end of a training run are decided by. */
export type BestSettings = Pick<
  TrainingSettings,
  'metric_for_best_model' | 'early_stopping_patience' | 'early_stopping_threshold'
>;

/** The evaluation whose weights are in best/. */
export interface BestEvaluation {
  readonly step: number;
  readonly loss: number;
  /** Of metric_for_best_model. */
  readonly value: number;
}

/**
 * Finds the best evaluation, and when the training no longer improves, as transformers does: an
 * evaluation counts as no improvement (EarlyStoppingCallback) unless it beats the best before it by
 * more than the threshold; the best itself is any that beats it.
 */
export class BestTracker {
  private current: BestEvaluation | null = null;
  private count = 0;

  constructor(private readonly settings: BestSettings) {}

  get best(): BestEvaluation | null {
    return this.current;
  }

  /** Evaluations in a row without an improvement. */
  get withoutImprovement(): number {
    return this.count;
  }

  /** Whether early_stopping_patience evaluations in a row brought no improvement. */
  get isOver(): boolean {
    const { early_stopping_patience: patience } = this.settings;
    return patience !== null && this.count >= patience;
  }

  restore(best: BestEvaluation | null, withoutImprovement: number): void {
    this.current = best;
    this.count = withoutImprovement;
  }

  /**
   * Notes an evaluation after a step, and returns whether it is the best one. One without the
   * metric (a correlation of constant values) is none.
   */
  add({ step, loss, scores }: Pick<EvalLine, 'step' | 'loss' | 'scores'>): boolean {
    const { metric_for_best_model: metric, early_stopping_threshold: threshold } = this.settings;
    const value = metricOf({ loss, ...(scores && { scores }) }, metric);
    const before = this.current?.value ?? worstOf(metric);
    const isBest = isBetter(value, before, metric);
    this.count = isBest && Math.abs(value - before) > threshold ? 0 : this.count + 1;
    if (isBest) this.current = { step, loss, value };
    return isBest;
  }
}

const worstOf = (metric: BestMetric): number => (isGreaterBetter(metric) ? -Infinity : Infinity);
