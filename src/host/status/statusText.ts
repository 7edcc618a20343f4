import { formatDuration, formatLoss } from '../text/format';
import { t } from '../text/l10n';
import { isActive, isAway, type RunSummary } from '../runs/run';
import { activityText, stateName, targetText } from '../runs/treeRow';

/** What the status bar item shows. */
export interface StatusText {
  readonly icon: string;
  readonly text: string;
  readonly tooltip: string;
  /** Folder of the run whose dashboard a click opens. */
  readonly dir: string;
}

/** The newest active run and the number of the others; null when no run is active. */
export function statusText(runs: readonly RunSummary[], now: number): StatusText | null {
  // what cannot be seen at the moment comes last
  const active = runs.filter(isActive).sort((a, b) => Number(isAway(a)) - Number(isAway(b)));
  const [run] = active;
  if (!run) return null;
  const loss = run.lastLoss === null ? '' : ` · ${formatLoss(run.lastLoss)}`;
  const more = active.length > 1 ? ` (+${active.length - 1})` : '';
  const left =
    run.secondsLeft === null ? '' : `\n${t('{0} left', formatDuration(run.secondsLeft))}`;
  const target = targetText(run);
  return {
    icon: iconOf(run),
    text: `${run.name} ${activityText(run, now)}${loss}${more}`,
    tooltip: `${run.name}: ${stateName(run.state)}${left}${target === null ? '' : `\n${target}`}\n${t('Click to open the dashboard')}`,
    dir: run.dir,
  };
}

function iconOf(run: RunSummary): string {
  if (isAway(run)) return 'plug';
  return run.state === 'paused' ? 'debug-pause' : 'loading~spin';
}
