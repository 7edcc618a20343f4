import { lstat } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { FileRefused, MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { StepLine } from '../../shared/metrics/lines';
import { TRAINING_METHODS } from '../../shared/recipe';
import {
  ENDED_STATES,
  isInRun,
  RUN_FILES,
  type EngineRecord,
  type RunRecord,
  type RunState,
} from '../../shared/run';
import { effectiveState, START_GRACE_MS } from '../../formats/run/effectiveState';
import { isEngineAlive, readEngineRecord } from '../../formats/run/engineRecord';
import { readLastStep } from '../../formats/run/lastStep';
import { t } from '../text/l10n';
import { NO_NOTES, readNotes, type RunNotes } from './runNotes';
import { ruleOf } from '../../shared/schemaRule';

/**
 * What the folder of a run contains now. `problem`: why run.json cannot be read; such a run is
 * still listed and can be deleted.
 */
export type RunSnapshot =
  | {
      readonly kind: 'run';
      readonly dir: string;
      readonly record: RunRecord;
      readonly state: RunState;
      readonly lastStep: StepLine | null;
      readonly notes: RunNotes;
    }
  | { readonly kind: 'starting'; readonly dir: string; readonly created: number }
  | {
      readonly kind: 'broken';
      readonly dir: string;
      readonly created: number;
      readonly problem: string;
    };

const STATES = [
  'preparing',
  'running',
  'paused',
  'stopped',
  'completed',
  'failed',
  'interrupted',
] as const satisfies readonly RunState[];
const innerPath = v.pipe(v.string(), v.check(isInRun, 'leads out of the folder of the run'));
const nullableNumber = v.nullable(v.number());

/** The parts of run.json that the host uses. */
const RecordSchema = v.looseObject({
  version: v.literal(1),
  name: v.string(),
  state: v.picklist(STATES),
  created: v.pipe(
    v.string(),
    v.check((text) => !Number.isNaN(Date.parse(text)), 'is not a time'),
  ),
  recipe: v.looseObject({
    base: v.string(),
    dataset: v.string(),
    lora: v.looseObject({ r: v.number() }),
    training: v.optional(v.looseObject({ method: v.optional(v.picklist(TRAINING_METHODS)) })),
  }),
  recipe_path: v.nullable(v.string()),
  total_steps: nullableNumber,
  result: v.looseObject({
    steps: v.number(),
    last_loss: nullableNumber,
    adapter: v.nullable(innerPath),
    model: v.optional(v.nullable(innerPath)),
  }),
  error: v.nullable(v.looseObject({ area: v.string(), message: v.string() })),
});

/** Which files of a run exist, so that the others need not be read. */
export interface ExistingRunFiles {
  readonly engine: boolean;
  readonly notes: boolean;
}

/** Reads a run folder. Never throws: what is wrong becomes the snapshot's problem. */
export async function readRun(
  dir: string,
  now: number,
  existing: ExistingRunFiles = { engine: true, notes: true },
): Promise<RunSnapshot> {
  const file = path.join(dir, RUN_FILES.record);
  const [engine, notes] = await Promise.all([
    existing.engine ? readEngineRecord(dir) : null,
    existing.notes ? readNotes(dir) : NO_NOTES,
  ]);
  let text: string;
  try {
    text = await readTextFile(file, { maxBytes: MAX_BYTES.runRecord, links: 'refused' });
  } catch (error) {
    return error instanceof FileRefused ? broken(dir, now, error) : withoutRecord(dir, engine, now);
  }
  try {
    const record = v.parse(RecordSchema, JSON.parse(text)) as unknown as RunRecord;
    const state = effectiveState(record, engine, now);
    return {
      kind: 'run',
      dir,
      record,
      state,
      lastStep: ENDED_STATES.has(record.state) ? null : await readLastStep(dir),
      notes,
    };
  } catch (error) {
    return broken(dir, now, error);
  }
}

const broken = async (dir: string, now: number, error: unknown): Promise<RunSnapshot> => ({
  kind: 'broken',
  dir,
  created: await createdAt(dir, now),
  problem: t('run.json cannot be read: {0}', faultOf(error)),
});

async function withoutRecord(
  dir: string,
  engine: EngineRecord | null,
  now: number,
): Promise<RunSnapshot> {
  const created = await createdAt(dir, now);
  if (isEngineAlive(engine, now) || (!engine && now - created < START_GRACE_MS))
    return { kind: 'starting', dir, created };
  return {
    kind: 'broken',
    dir,
    created,
    problem: t('run.json is missing: the run never started.'),
  };
}

function faultOf(error: unknown): string {
  if (v.isValiError(error)) {
    const [issue] = error.issues;
    return `${v.getDotPath(issue) ?? 'run.json'}: ${ruleOf(issue)}`;
  }
  return error instanceof Error ? error.message : String(error);
}

async function createdAt(dir: string, now: number): Promise<number> {
  const info = await lstat(dir).catch(() => null);
  return info ? info.birthtimeMs || info.ctimeMs : now;
}
