import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { collectRun, type RunSummary } from '../../src/host/runs/run';
import { NO_NOTES } from '../../src/host/runs/runNotes';
import type { RemoteLink } from '../../src/formats/run/remoteRecord';
import type { EngineRecord, RemoteRecord, RunRecord } from '../../src/shared/run';
import { parseRecipe } from '../../src/shared/recipeFile';

/** The run.json of a completed run. */
export function recordOf(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    version: 1,
    id: 'run',
    name: 'git',
    state: 'completed',
    created: '2026-01-02T03:04:05.000Z',
    started: null,
    ended: null,
    recipe: parseRecipe(
      '{ "base": "m.gguf", "dataset": "d.jsonl", "lora": { "r": 4 } }',
      '/w/lora.json',
    ),
    recipe_path: '/w/lora.json',
    base: null,
    data: null,
    trainable_parameters: null,
    total_steps: 30,
    versions: { extension: '0', node: '20', runtime: null, device: null },
    git_commit: null,
    result: {
      steps: 30,
      last_loss: 1.5,
      last_validation_loss: null,
      best_validation_loss: 1.25,
      best_step: 20,
      adapter: 'adapter',
    },
    error: null,
    ...changes,
  };
}

/** The run.json of a full fine-tuning run. */
export const fullRecord = (): RunRecord => {
  const { recipe, result } = recordOf();
  return recordOf({
    recipe: { ...recipe, training: { ...recipe.training, method: 'full' } },
    result: { ...result, adapter: null, model: 'model' },
  });
};

/** What the Runs view knows of a run whose engine has ended. */
export const summaryOf = (
  changes: Partial<RunRecord> = {},
  notes = NO_NOTES,
  dir = '/w/.lora/runs/r1',
): RunSummary =>
  collectRun(
    {
      kind: 'run',
      dir,
      record: recordOf(changes),
      state: changes.state ?? 'completed',
      lastStep: null,
      notes,
      remote: null,
    },
    null,
  );

/** The remote.json of a run that trains on a target. */
export const remoteOf = (changes: Partial<RemoteRecord> = {}): RemoteRecord => ({
  version: 1,
  target: { name: 'gpu-box', kind: 'ssh', place: 'me@gpu.example' },
  job: '20260102-030405-abcd',
  handle: { pid: 7 },
  sent: {},
  clock_ahead: null,
  connection: { state: 'connected', since: '2026-01-02T03:04:00.000Z', reason: null },
  checkpoints: [],
  ...changes,
});

/** What the Runs view knows of a run on a target. */
export const remoteSummary = (
  state: RunSummary['state'],
  link: RemoteLink = { kind: 'connected' },
  record: Partial<RemoteRecord> = {},
): RunSummary => ({ ...summaryOf(), state, remote: { record: remoteOf(record), link } });

/** The engine.json of a running engine: this process. */
export const engineOf = (changes: Partial<EngineRecord> = {}): EngineRecord => ({
  pid: process.pid,
  started: new Date().toISOString(),
  pipe: '/nowhere',
  heartbeat: new Date().toISOString(),
  ...changes,
});

/** Writes files into a run folder, objects as JSON, and returns the folder. */
export async function putRun(
  dir: string,
  files: Readonly<Record<string, unknown>>,
): Promise<string> {
  await mkdir(dir, { recursive: true });
  for (const [name, content] of Object.entries(files))
    await writeFile(
      path.join(dir, name),
      typeof content === 'string' ? content : JSON.stringify(content),
    );
  return dir;
}
