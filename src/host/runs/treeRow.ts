import type { RunScore, Verdict } from '../../shared/evaluation/result';
import type { MetricValue } from '../../shared/run';
import { formatAge, formatDuration, formatLoss, formatPercent } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { isUnattended } from '../targets/reattach';
import { kindName, linkText, stageText } from '../targets/remoteText';
import { canResume, isActive, isAway, lossOf, type RunSummary } from './run';

/** How a run is shown in a row of the Runs view. */
export interface TreeRow {
  readonly label: string;
  readonly description: string;
  readonly icon: string;
  readonly color: string | null;
  /** Words for when clauses: run, the state, adapter, model, recipe, active, unattended, … */
  readonly context: string;
  readonly details: readonly (readonly [label: string, value: string])[];
  /** The label for screen readers. */
  readonly spoken: string;
  /** Changes with what the row shows, except for the numbers that run along while it trains. */
  readonly fixed: string;
}

const ICONS: Readonly<Record<RunSummary['state'], readonly [icon: string, color: string | null]>> =
  {
    preparing: ['loading~spin', null],
    running: ['loading~spin', 'charts.blue'],
    paused: ['debug-pause', 'charts.yellow'],
    // by default this icon is red, as if something were wrong
    stopped: ['debug-stop', 'descriptionForeground'],
    completed: ['pass', 'testing.iconPassed'],
    failed: ['error', 'testing.iconFailed'],
    interrupted: ['debug-disconnect', 'list.warningForeground'],
    broken: ['warning', 'list.warningForeground'],
  };

/** A run on a target that is not connected: nothing says that it has a problem. */
const AWAY = ['plug', 'descriptionForeground'] as const;

/** The localized name of a state. */
export function stateName(state: RunSummary['state']): string {
  switch (state) {
    case 'preparing':
      return t('Preparing');
    case 'running':
      return t('Running');
    case 'paused':
      return t('Paused');
    case 'stopped':
      return t('Stopped');
    case 'completed':
      return t('Completed');
    case 'failed':
      return t('Failed');
    case 'interrupted':
      return t('Interrupted');
    case 'broken':
      return t('Unreadable');
  }
}

/** The row of a run. `now`: in milliseconds since 1970. */
export function treeRowOf(run: RunSummary, now: number): TreeRow {
  const [icon, color] = isAway(run) ? AWAY : ICONS[run.state];
  const label = runLabel(run);
  const context = contextOf(run);
  return {
    label,
    description: partsOf(run, now).join(' · '),
    icon,
    color,
    context,
    details: detailsOf(run, now),
    spoken: [label, knownState(run), ...spokenParts(run, now)].join(', '),
    fixed: JSON.stringify([
      label,
      context,
      icon,
      run.problem,
      run.step > 0 ? null : run.phase,
      run.remote?.record.stage?.kind,
      run.notes.tags,
    ]),
  };
}

/**
 * The label of a run in a list: the name that the user has given it, else its rank and, once it
 * has ended, its loss. While it trains, the label stands still.
 */
export function runLabel(run: RunSummary): string {
  if (run.notes.name !== '') return run.notes.name;
  if (run.state === 'broken') return run.id;
  return methodAndLoss(run) ?? t('New run');
}

/** As in r8 · 0.397; without the loss while it trains. Null while its method is unknown. */
export function methodAndLoss(run: RunSummary): string | null {
  const method = methodText(run);
  if (method === null) return null;
  const loss = isActive(run) ? null : lossOf(run);
  return loss === null ? method : `${method} · ${formatLoss(loss)}`;
}

/** The state; of a run that is not connected, the one that was known last. */
const knownState = (run: RunSummary): string =>
  isAway(run) ? t('{0} when last connected', stateName(run.state)) : stateName(run.state);

/** As in r8. */
function methodText({ method, r }: RunSummary): string | null {
  if (method === 'full') return t('full fine-tuning');
  return r === null ? null : `r${r}`;
}

/** What follows the label. The engine's name for the run, the longest part, comes last. */
function partsOf(run: RunSummary, now: number): string[] {
  const age = formatAge(now - run.created);
  const tags = run.notes.tags.map((tag) => `#${tag}`);
  if (run.state === 'broken') return [run.problem ?? '', ...tags, age];
  const named = run.notes.name !== '';
  const loss = isActive(run) ? run.lastLoss : lossOf(run);
  const parts = [
    run.state === 'completed' || isActive(run) ? null : stateName(run.state).toLowerCase(),
    run.remote?.record.target.name ?? null,
    named ? methodText(run) : null,
    ...(isActive(run) ? activities(run, now) : []),
    loss !== null && (named || isActive(run)) ? formatLoss(loss) : null,
    suiteText(run),
    ...tags,
    age,
    named || run.name === run.id ? null : run.name,
  ];
  return parts.filter((part) => part !== null);
}

/** Of a run on a target: that it is not connected, or what is done besides training. */
function remoteText({ remote }: RunSummary, now: number): string | null {
  return remote && (linkText(remote.link, now) ?? stageText(remote.record.stage));
}

/** What an active run is doing: "sending 3 MiB of 8 MiB", "12/300". */
function activities(run: RunSummary, now: number): string[] {
  const besides = remoteText(run, now);
  if (besides === null) return [stepText(run)];
  return run.step > 0 ? [besides, stepText(run)] : [besides];
}

/** The first of it, for where there is little room. */
export const activityText = (run: RunSummary, now: number): string => activities(run, now)[0]!;

/** Says which loss it is: a screen reader shows no columns. */
function spokenParts(run: RunSummary, now: number): string[] {
  const loss = lossText(run);
  return [...(loss === null ? [] : [loss]), ...partsOf(run, now)];
}

function lossText(run: RunSummary): string | null {
  if (!isActive(run) && run.validationLoss !== null)
    return t('validation {0}', formatLoss(run.validationLoss));
  return run.lastLoss === null ? null : t('loss {0}', formatLoss(run.lastLoss));
}

/** A score under the name that recipes have for it: accuracy 0.93. */
export const scoreText = ({ name, value }: MetricValue): string => `${name} ${formatLoss(value)}`;

/** As in 82% right; null without a score. */
function suiteText({ suiteScore }: RunSummary): string | null {
  const score = suiteScore?.score ?? null;
  return score === null ? null : t('suites {0}', formatPercent(roundedShare(score)));
}

/** As in 82%, base 47%: better. */
function suiteDetail({ score, base, verdict, rows }: RunScore): string | null {
  if (score === null) return null;
  const own = formatPercent(roundedShare(score));
  if (base === null || verdict === null) return t('{0} of {1} {1|row|rows}', own, rows);
  return t(
    '{0}, base model {1}: {2}',
    own,
    formatPercent(roundedShare(base)),
    verdictName(verdict),
  );
}

const roundedShare = (share: number): number => Math.round(share * 100) / 100;

function verdictName(verdict: Verdict): string {
  switch (verdict) {
    case 'better':
      return t('better');
    case 'worse':
      return t('worse');
    case 'equal':
      return t('the same in every row');
    case 'unclear':
      return t('not enough rows to tell');
  }
}

/** The step, as in 12/300; before the first one, what the engine is doing. */
export function stepText(run: RunSummary): string {
  if (run.step > 0)
    return run.totalSteps === null
      ? formatNumber(run.step)
      : `${formatNumber(run.step)}/${formatNumber(run.totalSteps)}`;
  switch (run.phase) {
    case 'reading data':
      return t('reading data');
    case 'loading model':
      return t('loading the model');
    case 'reference':
      return t('computing the reference log-probabilities');
    case 'evaluating':
      return t('evaluating');
    case 'sampling':
      return t('sampling');
    default:
      return stateName(run.state).toLowerCase();
  }
}

function contextOf(run: RunSummary): string {
  // nothing can be asked of it
  if (isAway(run))
    return ['run', 'remote', isUnattended(run) ? 'unattended' : 'away', run.recipePath && 'recipe']
      .filter(Boolean)
      .join(' ');
  return [
    'run',
    run.state,
    isActive(run) && 'active',
    run.remote && 'remote',
    canResume(run) && 'resumable',
    run.adapter && 'adapter',
    run.model && 'model',
    run.recipePath && 'recipe',
    run.suiteScore && 'evaluated',
  ]
    .filter(Boolean)
    .join(' ');
}

/** As in gpu-box (SSH, me@gpu.example). */
export function targetText({ remote }: RunSummary): string | null {
  if (!remote) return null;
  const { name, kind, place } = remote.record.target;
  return `${name} (${kindName(kind)}, ${place})`;
}

function detailsOf(run: RunSummary, now: number): [string, string][] {
  const rows: [string, string | null][] = [
    [t('Run'), run.name],
    [t('State'), knownState(run)],
    [t('Target'), targetText(run)],
    [t('Connection'), run.remote && linkText(run.remote.link, now)],
    [t('Problem'), run.problem],
    [t('Steps'), run.step > 0 ? stepText(run) : null],
    [
      t('Time left'),
      isActive(run) && run.secondsLeft !== null ? formatDuration(run.secondsLeft) : null,
    ],
    [t('Loss'), run.lastLoss === null ? null : formatLoss(run.lastLoss)],
    [
      t('Best validation loss'),
      run.validationLoss === null ? null : formatLoss(run.validationLoss),
    ],
    [t('Best score'), run.bestScore && scoreText(run.bestScore)],
    [t('Suite score'), run.suiteScore && suiteDetail(run.suiteScore)],
    [
      t('Method'),
      run.method === 'full'
        ? t('full fine-tuning: all weights of the base model are trained')
        : null,
    ],
    [t('Rank r'), run.r === null ? null : formatNumber(run.r)],
    [t('Base model'), run.base],
    [t('Dataset'), run.dataset],
    [t('Started'), formatAge(now - run.created)],
    [t('Folder'), run.dir],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== null);
}
