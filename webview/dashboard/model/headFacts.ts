import {
  currentStep,
  hasEnded,
  isAway,
  totalSteps,
  type DashboardPage,
  type DashboardState,
} from '../state';
import { lastValue, secondsLeft } from './summary';

type Texts = Pick<DashboardPage, 't' | 'format'>;

/** Step, epoch, activity, time and device of a run, each as a short text. */
export function headFacts(page: Texts, state: DashboardState): string[] {
  const { device } = state.run?.versions ?? {};
  return [
    ...stepFact(page, state),
    ...epochFact(page, state),
    ...activityFact(page, state),
    ...timeFact(page, state),
    ...(device ? [device] : []),
    ...memoryFact(page, state),
  ];
}

function stepFact({ t, format }: Texts, state: DashboardState): string[] {
  if (state.status.state === 'preparing') return [];
  const total = totalSteps(state);
  const step = format.count(currentStep(state));
  return [total === null ? t('head.stepOpen', step) : t('head.step', step, format.count(total))];
}

function epochFact({ t, format }: Texts, state: DashboardState): string[] {
  const epochs = totalEpochs(state);
  const epoch = lastValue(state.history, 'epoch');
  if (epochs === null || !Number.isFinite(epoch)) return [];
  return [t('head.epoch', format.value(hundredths(epoch)), format.value(hundredths(epochs)))];
}

const hundredths = (value: number) => Math.round(value * 100) / 100;

/** If max_steps is set, it decides instead of num_train_epochs. */
function totalEpochs(state: DashboardState): number | null {
  const { max_steps, num_train_epochs } = state.run?.recipe.training ?? {};
  if (max_steps === null || max_steps === undefined) return num_train_epochs ?? null;
  const [step, epoch] = [currentStep(state), lastValue(state.history, 'epoch')];
  return step > 0 && Number.isFinite(epoch) ? (epoch / step) * max_steps : null;
}

/** What the engine does now, unless it is plain training. */
function activityFact({ t, format }: Texts, state: DashboardState): string[] {
  const { status, progress, link, wait } = state;
  const isPreparing = status.state === 'preparing';
  const { stage = null } = state.labels.remote ?? {};
  if (stage !== null && !hasEnded(state)) return [stage];
  if (wait !== null || isAway(state)) return [];
  if (!isPreparing && status.state !== 'running') return [];
  if (!progress)
    return isPreparing ? [t(link === 'engine' ? 'phase.preparing' : 'phase.starting')] : [];
  if (!isPreparing && progress.phase === 'training') return [];
  const phase = t(`phase.${progress.phase}`);
  return [
    progress.fraction === null
      ? `${phase}…`
      : t('phase.fraction', phase, format.percent(progress.fraction)),
  ];
}

function timeFact({ t, format }: Texts, state: DashboardState): string[] {
  if (hasEnded(state)) {
    const took = lastValue(state.history, 'elapsed');
    return Number.isFinite(took) ? [t('head.took', format.duration(took))] : [];
  }
  const left = state.status.seconds_left ?? secondsLeft(state.history, totalSteps(state));
  if (left === null || state.status.state === 'preparing' || isAway(state)) return [];
  return [t('head.left', format.duration(left))];
}

function memoryFact({ t, format }: Texts, { status: { device_memory } }: DashboardState): string[] {
  if (!device_memory) return [];
  const { used, total } = device_memory;
  return [t('head.deviceMemory', format.bytes(used), format.bytes(total))];
}
