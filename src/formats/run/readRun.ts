import { DatasetSchema } from '../../shared/datasetSources';
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
  type RemoteRecord,
  type RunRecord,
  type RunState,
} from '../../shared/run';
import { effectiveState, START_GRACE_MS } from './effectiveState';
import { isEngineAlive, readEngineRecord } from './engineRecord';
import { readLastStep } from './lastStep';
import { NO_NOTES, readNotes, type RunNotes } from './notes';
import { goesOnWithoutMirror, readRemoteRecord, remoteLink, type RemoteLink } from './remoteRecord';
import { ruleOf } from '../../shared/schemaRule';

/** Where a run on a target is computed, and how it is connected. */
export interface RemoteRun {
  readonly record: RemoteRecord;
  readonly link: RemoteLink;
}

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
      readonly remote: RemoteRun | null;
    }
  | {
      readonly kind: 'starting';
      readonly dir: string;
      readonly created: number;
      readonly remote: RemoteRun | null;
    }
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
    dataset: DatasetSchema,
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
  readonly remote: boolean;
  readonly notes: boolean;
}

const ALL_FILES: ExistingRunFiles = { engine: true, remote: true, notes: true };

/** How the problems of a folder are reported. */
export interface ProblemTexts {
  /** `fault`: what is wrong in run.json. */
  readonly unreadable: (fault: string) => string;
  readonly missing: () => string;
}

const ENGLISH: ProblemTexts = {
  unreadable: (fault) => `run.json cannot be read: ${fault}`,
  missing: () => 'run.json is missing: the run never started.',
};

/** Reads a run folder. Never throws: what is wrong becomes the snapshot's problem. */
export async function readRun(
  dir: string,
  now: number,
  existing: ExistingRunFiles = ALL_FILES,
  texts: ProblemTexts = ENGLISH,
): Promise<RunSnapshot> {
  const file = path.join(dir, RUN_FILES.record);
  const [engine, remote, notes] = await Promise.all([
    existing.engine ? readEngineRecord(dir) : null,
    existing.remote ? readRemoteRecord(dir) : null,
    existing.notes ? readNotes(dir) : NO_NOTES,
  ]);
  const owner = { engine, remote };
  let text: string;
  try {
    text = await readTextFile(file, { maxBytes: MAX_BYTES.runRecord, links: 'refused' });
  } catch (error) {
    const problem = error instanceof FileRefused ? texts.unreadable(faultOf(error)) : null;
    return problem === null ? withoutRecord(dir, owner, now, texts) : broken(dir, now, problem);
  }
  try {
    const record = v.parse(RecordSchema, JSON.parse(text)) as unknown as RunRecord;
    const state = effectiveState(record, engine, now, remote);
    return {
      kind: 'run',
      dir,
      record,
      state,
      lastStep: ENDED_STATES.has(record.state) ? null : await readLastStep(dir),
      notes,
      remote: remoteRun(owner, now, state),
    };
  } catch (error) {
    return broken(dir, now, texts.unreadable(faultOf(error)));
  }
}

const broken = async (dir: string, now: number, problem: string): Promise<RunSnapshot> => ({
  kind: 'broken',
  dir,
  created: await createdAt(dir, now),
  problem,
});

async function withoutRecord(
  dir: string,
  owner: Owner,
  now: number,
  { missing }: ProblemTexts,
): Promise<RunSnapshot> {
  const { engine, remote } = owner;
  const created = await createdAt(dir, now);
  if (
    isEngineAlive(engine, now) ||
    goesOnWithoutMirror(remote) ||
    (!engine && now - created < START_GRACE_MS)
  )
    return { kind: 'starting', dir, created, remote: remoteRun(owner, now, 'preparing') };
  return { kind: 'broken', dir, created, problem: missing() };
}

/** What engine.json and remote.json of a run say; null without one. */
interface Owner {
  readonly engine: EngineRecord | null;
  readonly remote: RemoteRecord | null;
}

function remoteRun({ engine, remote }: Owner, now: number, state: RunState): RemoteRun | null {
  if (!remote) return null;
  const isEnded = ENDED_STATES.has(state);
  return { record: remote, link: isEnded ? { kind: 'ended' } : remoteLink(remote, engine, now) };
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
