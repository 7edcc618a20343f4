import { copyFile, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { MAX_BYTES, openRegularFile } from '../../common/regularFile';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import type { EvalLine } from '../../shared/metrics/lines';
import type { Recipe } from '../../shared/recipe';
import { checkRecipe } from '../../shared/recipeFile';
import { NOTES_FILE, RUN_FILES, type RunRecord, type RunResult } from '../../shared/run';
import { makeRunDir, MetricsFile, newRecord, refuseUsedRunDir } from '../run/runFolder';
import type { FoundLog } from './readLog';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const IMPORTED_TAG = 'imported';
/** What a log does not name. */
const UNKNOWN = 'unknown';

/** How a log becomes a run. */
export interface ImportOptions {
  readonly run_dir: string;
  /** Version of LoRA Workbench. */
  readonly version: string;
  /** Copy the adapter that lies beside the log. */
  readonly withAdapter: boolean;
}

/**
 * Writes the run of a log: a complete run with what the log says, marked as imported. Of one that
 * cannot be written nothing is left.
 *
 * @throws LoraError
 */
export async function writeImported(found: FoundLog, options: ImportOptions): Promise<RunRecord> {
  const { run_dir } = options;
  const config = await readJsonObject(path.join(found.folder, CONFIG), 'adapter', {
    maxBytes: MAX_BYTES.writtenByPeople,
  }).catch(() => null);
  if (options.withAdapter) await refuseMissing(found.folder);
  const record = recordOf(found, recipeOf(found, config), options);
  const isNew = !(await pathExists(run_dir));
  await makeRunDir(run_dir);
  await refuseUsedRunDir(run_dir);
  try {
    await writeRun(found, record, options);
  } catch (error) {
    await removeWritten(run_dir, isNew);
    throw error;
  }
  return record;
}

async function writeRun(
  found: FoundLog,
  record: RunRecord,
  { run_dir, withAdapter }: ImportOptions,
): Promise<void> {
  await writeMetrics(run_dir, found);
  if (withAdapter) await copyAdapter(found.folder, run_dir);
  // a name of its own, since rank and loss alone do not tell it apart
  const notes = { name: record.name, tags: [IMPORTED_TAG], note: '' };
  await writeJson(path.join(run_dir, NOTES_FILE), notes);
  await writeJson(path.join(run_dir, RUN_FILES.record), record);
}

/** Removes what was not there before. */
async function removeWritten(run_dir: string, isNew: boolean): Promise<void> {
  const inside = [RUN_FILES.record, RUN_FILES.metrics, RUN_FILES.adapter];
  const places = isNew ? [run_dir] : inside.map((name) => path.join(run_dir, name));
  for (const place of places)
    await rm(place, { recursive: true, force: true }).catch(() => undefined);
}

async function writeMetrics(run_dir: string, { log }: FoundLog): Promise<void> {
  const metrics = await MetricsFile.open(run_dir);
  try {
    for (const line of log.lines) await metrics.append(line);
  } finally {
    await metrics.close();
  }
}

function recordOf(found: FoundLog, recipe: Recipe, options: ImportOptions): RunRecord {
  const { log, file, written } = found;
  const created = new Date(log.started ?? written).toISOString();
  const record = newRecord(options.run_dir, {
    ...{ recipe, recipe_path: null, git_commit: null },
    extension: options.version,
  });
  const result = resultOf(found);
  const { versions } = record;
  return {
    ...record,
    name: `${nameOf(file)} (${log.program})`,
    state: 'completed',
    ...{ created, started: created, ended: new Date(written).toISOString() },
    total_steps: log.total_steps ?? result.steps,
    versions: { extension: versions.extension, node: versions.node, runtime: null, device: null },
    result: { ...result, adapter: options.withAdapter ? RUN_FILES.adapter : null },
    imported: { program: log.program, file },
  };
}

/** The folder of a log; of a checkpoint that of its training. */
function nameOf(file: string): string {
  const folder = path.dirname(file);
  const own = path.basename(folder);
  return /^checkpoint-\d+$/.test(own) ? path.basename(path.dirname(folder)) : own;
}

function resultOf({ log: { lines } }: FoundLog): Omit<RunResult, 'adapter'> {
  const evaluated = lines.filter((line) => line.kind === 'eval');
  const last = lines.findLast((line) => line.kind === 'step');
  const best = evaluated
    .filter(({ step, loss }) => step > 0 && Number.isFinite(loss))
    .reduce<EvalLine | null>((low, line) => (low && low.loss <= line.loss ? low : line), null);
  return {
    steps: last?.step ?? 0,
    last_loss: last?.loss ?? null,
    last_validation_loss: evaluated.at(-1)?.loss ?? null,
    last_validation_step: evaluated.at(-1)?.step ?? null,
    first_validation_loss: evaluated.find(({ step }) => step === 0)?.loss ?? null,
    best_validation_loss: best?.loss ?? null,
    best_step: best?.step ?? null,
  };
}

/** A recipe with what is known of the training, and defaults for the rest. */
function recipeOf({ log, folder }: FoundLog, config: Record<string, unknown> | null): Recipe {
  const base = config?.['base_model_name_or_path'];
  const start = { base: UNKNOWN, dataset: UNKNOWN };
  const read = (parts: object) =>
    checkRecipe(JSON.stringify({ ...start, ...parts }), path.join(folder, 'lora.json')).recipe;
  const known = { lora: {}, training: {} };
  const settings = { lora: loraOf(config), training: trainingOf(log) };
  for (const group of ['lora', 'training'] as const)
    for (const [key, value] of Object.entries(settings[group])) {
      const more = { ...known, [group]: { ...known[group], [key]: value as unknown } };
      // recipes cannot say everything that other programs can
      if (read(more)) known[group] = more[group];
    }
  return {
    ...read(known)!,
    base: typeof base === 'string' && base !== '' ? base : UNKNOWN,
    dataset: UNKNOWN,
  };
}

const LORA_KEYS = ['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'use_rslora', 'use_dora'];

const loraOf = (config: Record<string, unknown> | null): object =>
  Object.fromEntries(
    LORA_KEYS.flatMap((key) => {
      const value = config?.[key];
      return value === undefined || value === null ? [] : [[key, value]];
    }),
  );

/** The rate of a log is the highest that it has. */
function trainingOf({ training, lines, total_steps }: FoundLog['log']): object {
  const rates = lines.flatMap((line) => (line.kind === 'step' ? [line.learning_rate] : []));
  const highest = rates.reduce((most, rate) => (rate > most ? rate : most), 0);
  return {
    ...training,
    ...(total_steps !== null && { max_steps: total_steps }),
    ...(highest > 0 && { learning_rate: highest }),
  };
}

async function refuseMissing(folder: string): Promise<void> {
  for (const name of [CONFIG, WEIGHTS]) {
    const file = path.join(folder, name);
    if (await pathExists(file)) continue;
    throw new LoraError('adapter', `There is no adapter beside the log: ${name} is missing.`, {
      place: { file },
      fix: 'Import the log alone; lora convert reads adapters of mlx-lm.',
    });
  }
}

async function copyAdapter(from: string, run_dir: string): Promise<void> {
  const adapter = path.join(run_dir, RUN_FILES.adapter);
  await mkdir(adapter);
  for (const name of [CONFIG, WEIGHTS]) {
    const file = path.join(from, name);
    // a device or pipe would never end
    const { handle } = await openRegularFile(file);
    await handle.close();
    await copyFile(file, path.join(adapter, name));
  }
}
