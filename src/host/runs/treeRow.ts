import { formatAge, formatDuration, formatLoss } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { canResume, isActive, type RunSummary } from './run';

/** How a run is shown in a row of the Runs view. */
export interface TreeRow {
  readonly label: string;
  readonly description: string;
  readonly icon: string;
  readonly color: string | null;
  /** Words for when clauses: run, the state, adapter, model, recipe, active, resumable. */
  readonly context: string;
  readonly details: readonly (readonly [label: string, value: string])[];
  /** The label for screen readers. */
  readonly spoken: string;
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
  const [icon, color] = ICONS[run.state];
  const description = describe(run, now);
  return {
    label: run.name,
    description,
    icon,
    color,
    context: contextOf(run),
    details: detailsOf(run, now),
    spoken: `${run.name}, ${stateName(run.state)}, ${description}`,
  };
}

function describe(run: RunSummary, now: number): string {
  const age = formatAge(now - run.created);
  if (run.state === 'broken') return [run.problem ?? '', age].join(' · ');
  const ended =
    run.state === 'completed' || isActive(run) ? null : stateName(run.state).toLowerCase();
  return [
    ended,
    run.method === 'full' ? t('full fine-tuning') : run.r !== null && `r ${run.r}`,
    isActive(run) && stepText(run),
    lossText(run),
    ...run.notes.tags.map((tag) => `#${tag}`),
    age,
  ]
    .filter(Boolean)
    .join(' · ');
}

/** The best validation loss of an ended run, if there is one; else the training loss. */
function lossText(run: RunSummary): string | false {
  if (!isActive(run) && run.validationLoss !== null)
    return t('validation {0}', formatLoss(run.validationLoss));
  return run.lastLoss !== null && t('loss {0}', formatLoss(run.lastLoss));
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
    case 'evaluating':
      return t('evaluating');
    case 'sampling':
      return t('sampling');
    default:
      return stateName(run.state).toLowerCase();
  }
}

function contextOf(run: RunSummary): string {
  return [
    'run',
    run.state,
    isActive(run) && 'active',
    canResume(run) && 'resumable',
    run.adapter && 'adapter',
    run.model && 'model',
    run.recipePath && 'recipe',
  ]
    .filter(Boolean)
    .join(' ');
}

function detailsOf(run: RunSummary, now: number): [string, string][] {
  const rows: [string, string | null][] = [
    [t('State'), stateName(run.state)],
    [t('Problem'), run.problem],
    [t('Steps'), run.state === 'broken' ? null : stepText(run)],
    [
      t('Time left'),
      isActive(run) && run.secondsLeft !== null ? formatDuration(run.secondsLeft) : null,
    ],
    [t('Loss'), run.lastLoss === null ? null : formatLoss(run.lastLoss)],
    [
      t('Best validation loss'),
      run.validationLoss === null ? null : formatLoss(run.validationLoss),
    ],
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
