import path from 'node:path';
import { isObject } from '../../shared/values';
import type { RunRecord } from '../../shared/run';
import type { TableRow } from '../../shared/pages/runs/protocol';
import { sweepName, sweepOf } from '../../shared/sweep/places';
import { lossOf, type RunSummary } from './run';
import { runLabel, stateName } from './treeRow';

/**
 * A run as the table of runs shows it, and as filters see it. `record`: its run.json, of which only
 * some parts have been checked.
 */
export function tableRowOf(run: RunSummary, record: RunRecord | undefined): TableRow {
  const texts = textsOf(run, record);
  return {
    dir: run.dir,
    name: runLabel(run),
    tags: [...run.notes.tags],
    numbers: numbersOf(run, record),
    texts,
    search: searchText(run, texts),
  };
}

function numbersOf(run: RunSummary, record: RunRecord | undefined): TableRow['numbers'] {
  const lora: unknown = record?.recipe.lora;
  const training: unknown = record?.recipe.training;
  const batch = numberAt(training, 'per_device_train_batch_size');
  const accumulated = numberAt(training, 'gradient_accumulation_steps') ?? 1;
  return {
    r: run.r,
    alpha: run.r === null ? null : numberAt(lora, 'lora_alpha'),
    loss: lossOf(run),
    score: run.bestScore?.value ?? null,
    suites: run.suiteScore?.score ?? null,
    validation: run.validationLoss,
    training: run.lastLoss,
    steps: run.step,
    time: secondsOf(record),
    rate: numberAt(training, 'learning_rate'),
    batch: batch === null ? null : batch * accumulated,
    parameters: numberAt(record, 'trainable_parameters'),
    started: run.created,
  };
}

function textsOf(run: RunSummary, record: RunRecord | undefined): TableRow['texts'] {
  const lora: unknown = record?.recipe.lora;
  const targets = run.r !== null && isObject(lora) ? lora['target_modules'] : undefined;
  const sweep = sweepOf(run.recipePath);
  return {
    state: stateName(run.state),
    metric: run.bestScore?.name ?? '',
    base: nameOf(run.base),
    dataset: nameOf(run.dataset),
    recipe: nameOf(run.recipePath),
    targets: Array.isArray(targets) ? targets.join(', ') : textOf(targets),
    tags: run.notes.tags.map((tag) => `#${tag}`).join(' '),
    sweep: sweep === null ? '' : sweepName(sweep),
  };
}

/** Names, ids, the state in English too, the rank as r8, the target, and everything noted. */
function searchText(run: RunSummary, texts: TableRow['texts']): string {
  const target = run.remote?.record.target.name;
  const method = run.method === 'full' ? 'full' : run.r !== null && `r${run.r}`;
  return [run.name, run.id, run.state, method, target, run.notes.note, ...Object.values(texts)]
    .filter(Boolean)
    .join('\n')
    .toLowerCase();
}

function numberAt(value: unknown, key: string): number | null {
  const number = isObject(value) ? value[key] : undefined;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const nameOf = (place: string | null): string => (place === null ? '' : path.basename(place));

const timeOf = (value: unknown): number => (typeof value === 'string' ? Date.parse(value) : NaN);

/** From the start to the end of a run that has ended. */
function secondsOf(record: RunRecord | undefined): number | null {
  const seconds = (timeOf(record?.ended) - timeOf(record?.started)) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
