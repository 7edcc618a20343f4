import { METRICS, type KeyNumberId } from '../../../src/shared/metrics/table';
import { SmoothedLoss } from '../../shared/charts/smooth';
import { Running } from '../../shared/charts/running';
import type { DashboardPage, DashboardState } from '../state';
import { lastValue, validation } from './summary';

/** The newest value of a metric, and a note that puts it into page (empty without one). */
export interface KeyNumber {
  readonly value: string;
  readonly note: string;
}

/**
 * Computes the key numbers of one run; sums and peaks are computed for new steps only, and left out
 * while not all steps are known.
 */
export class KeyNumbers {
  private readonly smoothed = new SmoothedLoss();
  private readonly tokens = new Running('tokens', 0, (sum, next) => sum + next);
  private readonly peak = new Running('memory', 0, Math.max);

  constructor(private readonly page: Pick<DashboardPage, 't' | 'format'>) {}

  of(id: KeyNumberId, model: DashboardState): KeyNumber {
    if (id === 'validation') return this.validation(model);
    const { format } = this.page;
    return {
      value: format[METRICS[id].number](lastValue(model.history, id)),
      note: this.recipeNote(id, model) ?? this.progressNote(id, model),
    };
  }

  /** The most memory of any step, in bytes; 0 before the first, NaN while not all are known. */
  peakOf({ history }: DashboardState): number {
    return history.isOutline ? NaN : this.peak.update(history);
  }

  /** Known before the first step; undefined for metrics that the recipe says nothing about. */
  private recipeNote(id: KeyNumberId, { run }: DashboardState): string | undefined {
    if (id === 'learning_rate') return run?.recipe.training.lr_scheduler_type ?? '';
    return id === 'grad_norm' ? this.clipping(run?.recipe.training.max_grad_norm) : undefined;
  }

  private progressNote(id: KeyNumberId, { history, choices }: DashboardState): string {
    const { t, format } = this.page;
    if (history.length === 0 || history.isOutline) return '';
    switch (id) {
      case 'loss': {
        const mean = this.smoothed.update(history, choices.smoothing).at(-1) ?? NaN;
        return t('tile.loss.sub', format.value(mean));
      }
      case 'tokens_per_second':
        return t('tile.tokens_per_second.sub', format.compact(this.tokens.update(history)));
      case 'memory':
        return t('tile.memory.sub', format.bytes(this.peak.update(history)));
      default:
        return '';
    }
  }

  private clipping(limit: number | undefined): string {
    const { t, format } = this.page;
    if (limit === undefined) return '';
    return limit === 0
      ? t('tile.grad_norm.unclipped')
      : t('tile.grad_norm.sub', format.value(limit));
  }

  private validation({ history, run }: DashboardState): KeyNumber {
    const { t, format } = this.page;
    const known = validation(history);
    if (!known) {
      const none = run?.data?.validation_examples === 0;
      return { value: t('none'), note: none ? t('tile.validation.none') : '' };
    }
    const best = t('tile.validation.sub', format.value(known.best), format.count(known.bestStep));
    const { score } = known;
    const note = score
      ? t('tile.validation.score', t(`series.${score.name}`), format.value(score.value), best)
      : best;
    return { value: format.value(known.last), note };
  }
}
