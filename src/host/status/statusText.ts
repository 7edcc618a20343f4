import { formatDuration, formatLoss } from '../text/format';
import { t } from '../text/l10n';
import { isActive, type RunSummary } from '../runs/run';
import { stateName, stepText } from '../runs/treeRow';

/** What the status bar item shows. */
export interface StatusText {
  readonly icon: string;
  readonly text: string;
  readonly tooltip: string;
  /** Folder of the run whose dashboard a click opens. */
  readonly dir: string;
}

/** The newest active run and the number of the others; null when no run is active. */
export function statusText(runs: readonly RunSummary[]): StatusText | null {
  const active = runs.filter(isActive);
  const [run] = active;
  if (!run) return null;
  const icon = run.state === 'paused' ? 'debug-pause' : 'loading~spin';
  const loss = run.lastLoss === null ? '' : ` · ${formatLoss(run.lastLoss)}`;
  const more = active.length > 1 ? ` (+${active.length - 1})` : '';
  const left =
    run.secondsLeft === null ? '' : `\n${t('{0} left', formatDuration(run.secondsLeft))}`;
  return {
    icon,
    text: `${run.name} ${stepText(run)}${loss}${more}`,
    tooltip: `${run.name}: ${stateName(run.state)}${left}\n${t('Click to open the dashboard')}`,
    dir: run.dir,
  };
}
