import { describeDataset } from '../../shared/datasetSources';
import path from 'node:path';
import { asRunScore, type RunScore } from '../../shared/evaluation/result';
import type { StepLine } from '../../shared/metrics/lines';
import type { EngineProgress, EngineStatus } from '../../shared/engineProtocol';
import { asTemplateVariables, type TemplateVariables } from '../../shared/chatVariables';
import { asTools, type Tools } from '../../shared/tools';
import type { TrainingMethod } from '../../shared/recipe';
import { isBestMetric } from '../../shared/bestMetric';
import { isObject } from '../../shared/values';
import { methodOf, type MetricValue, type RunRecord, type RunState } from '../../shared/run';
import { NO_NOTES, type RunNotes } from './notes';
import type { RemoteRun, RunSnapshot } from './readRun';

/** What the engine sends over its pipe, which is newer than the run's folder. */
export interface LiveRun {
  readonly status: EngineStatus | null;
  readonly progress: EngineProgress | null;
  readonly step: StepLine | null;
}

/** A run as the Runs view, the status bar and the quick picks show it. */
export interface RunSummary {
  readonly dir: string;
  readonly id: string;
  readonly name: string;
  readonly state: RunState | 'broken';
  readonly created: number;
  /** Null while it is unknown. */
  readonly method: TrainingMethod | null;
  /** Null unless the run trains an adapter. */
  readonly r: number | null;
  readonly step: number;
  readonly totalSteps: number | null;
  readonly lastLoss: number | null;
  readonly validationLoss: number | null;
  /** The score that its best weights were chosen by; null: the loss. */
  readonly bestScore: MetricValue | null;
  /** The suites' score at the end of the training; null: its recipe has none. */
  readonly suiteScore: RunScore | null;
  readonly secondsLeft: number | null;
  readonly phase: EngineProgress['phase'] | null;
  /** Absolute path of the adapter; null until it was saved. */
  readonly adapter: string | null;
  /** Absolute path of the model after full fine-tuning; null until it was saved. */
  readonly model: string | null;
  readonly recipePath: string | null;
  readonly base: string | null;
  readonly dataset: string | null;
  /** What its chat template got beside the messages; null while it is unknown. */
  readonly templateVariables: TemplateVariables | null;
  readonly tools: Tools | null;
  readonly notes: RunNotes;
  /** Where it is computed; null: on this machine. */
  readonly remote: RemoteRun | null;
  /** Why it failed, or why its folder cannot be read. */
  readonly problem: string | null;
}

/** Combines what the folder and the engine say. */
export function collectRun(snapshot: RunSnapshot, live: LiveRun | null): RunSummary {
  const id = path.basename(snapshot.dir);
  if (snapshot.kind === 'run') return fromRecord(snapshot, id, withLive(snapshot.lastStep, live));
  return {
    ...EMPTY,
    dir: snapshot.dir,
    id,
    name: id,
    created: snapshot.created,
    state: snapshot.kind === 'broken' ? 'broken' : 'preparing',
    problem: snapshot.kind === 'broken' ? snapshot.problem : null,
    remote: snapshot.kind === 'broken' ? null : snapshot.remote,
    phase: live?.progress?.phase ?? null,
  };
}

const EMPTY = {
  method: null,
  r: null,
  step: 0,
  totalSteps: null,
  lastLoss: null,
  validationLoss: null,
  bestScore: null,
  suiteScore: null,
  secondsLeft: null,
  phase: null,
  adapter: null,
  model: null,
  recipePath: null,
  base: null,
  dataset: null,
  templateVariables: null,
  tools: null,
  notes: NO_NOTES,
} as const;

const withLive = (lastStep: StepLine | null, live: LiveRun | null): LiveRun => ({
  status: live?.status ?? null,
  progress: live?.progress ?? null,
  step: live?.step ?? lastStep,
});

function fromRecord(
  { dir, record, state, notes, remote }: Extract<RunSnapshot, { kind: 'run' }>,
  id: string,
  live: LiveRun,
): RunSummary {
  const { recipe, result } = record;
  const method = methodOf(recipe);
  return {
    dir,
    id,
    name: notes.name || record.name || id,
    created: Date.parse(record.created),
    ...progressOf(record, state, live),
    method,
    r: method === 'lora' ? recipe.lora.r : null,
    validationLoss: result.best_validation_loss ?? null,
    bestScore: scoreOf(result.best_metric),
    suiteScore: asRunScore(result.evaluation) ?? null,
    adapter: result.adapter === null ? null : path.join(dir, result.adapter),
    model: typeof result.model === 'string' ? path.join(dir, result.model) : null,
    recipePath: record.recipe_path,
    base: recipe.base,
    dataset: describeDataset(recipe.dataset),
    templateVariables: asTemplateVariables(recipe.chat_template_kwargs) ?? null,
    tools: asTools(recipe.tools) ?? null,
    problem: record.error?.message ?? null,
    notes,
    remote,
  };
}

/** The score that best/ was chosen by, if the record has one. */
const scoreOf = (score: unknown): MetricValue | null =>
  isObject(score) && isBestMetric(score['name']) && typeof score['value'] === 'number'
    ? { name: score['name'], value: score['value'] }
    : null;

function progressOf(record: RunRecord, state: RunState, { status, progress, step }: LiveRun) {
  return {
    state: status?.state ?? state,
    step: status?.step ?? step?.step ?? record.result.steps,
    totalSteps: status?.total_steps ?? record.total_steps,
    lastLoss: step?.loss ?? record.result.last_loss,
    secondsLeft: status?.seconds_left ?? null,
    phase: progress?.phase ?? null,
  };
}

/** The best validation loss if there is one, else the last training loss. */
export const lossOf = ({ validationLoss, lastLoss }: RunSummary): number | null =>
  validationLoss ?? lastLoss;

/** Compares runs so that the newest comes first. */
export const byAge = (a: RunSummary, b: RunSummary): number =>
  b.created - a.created || (a.id < b.id ? 1 : -1);

/** Whether the run trains, is about to train or is paused, here or on a target. */
export const isActive = (run: RunSummary): boolean =>
  run.state === 'preparing' || run.state === 'running' || run.state === 'paused';

/** Whether it uses this machine's processor and memory. */
export const isActiveHere = (run: RunSummary): boolean => run.remote === null && isActive(run);

/**
 * Whether Resume Run applies: a paused engine continues, an ended run is started again from its
 * last checkpoint.
 */
export const canResume = (run: RunSummary): boolean =>
  run.state === 'paused' ||
  run.state === 'stopped' ||
  run.state === 'interrupted' ||
  run.state === 'failed';

/** Whether it may continue on a target that is not connected now. */
export const isAway = ({ remote }: RunSummary): boolean =>
  remote?.link.kind === 'unreachable' || remote?.link.kind === 'unattended';
