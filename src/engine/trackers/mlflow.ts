import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { MAX_BYTES } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { RUN_FILES, type RunRecord, type RunState } from '../../shared/run';
import { isObject } from '../../shared/values';
import { Refused, TrackingServer } from './server';
import { settingsOf, type Measured, type TrackedRun, type Tracker } from './tracker';

const API = 'api/2.0/mlflow';
const DEFAULT_EXPERIMENT = 'lora';
/** MLflow takes no more in a request, and no longer values. */
const MAX_METRICS = 1000;
const MAX_PARAMS = 100;
const MAX_VALUE = 500;
/** The tag of a run there that names the run here. */
const RUN_TAG = 'lora.run';

/** MLflow's names for how a run has ended. */
const STATUS: Readonly<Partial<Record<RunState, string>>> = {
  completed: 'FINISHED',
  failed: 'FAILED',
  stopped: 'KILLED',
};

/**
 * Sends a run to an MLflow tracking server by its REST API 2.0. Its id there is kept in the run's
 * folder, so that a resumed run continues there.
 */
export async function openMlflow(tracked: TrackedRun): Promise<Tracker> {
  const { record, run_dir, env } = tracked;
  const server = serverOf(env);
  const known = await goOn(server, tracked);
  const run_id = known ?? (await create(server, tracked));
  await keepId(run_dir, run_id);
  const params = Object.entries(settingsOf(record))
    .slice(0, MAX_PARAMS)
    .map(([key, value]) => ({ key, value: value.slice(0, MAX_VALUE) }));
  if (known === null) await server.ask(`${API}/runs/log-batch`, { run_id, params });
  return {
    add: async (measured) => {
      await server.ask(`${API}/runs/log-batch`, { run_id, metrics: metricsOf(measured) });
    },
    close: async ({ state }: RunRecord) => {
      const status = STATUS[state];
      // a run on a target continues there
      if (status === undefined) return;
      await server.ask(`${API}/runs/update`, { run_id, status, end_time: Date.now() });
    },
  };
}

function serverOf(env: NodeJS.ProcessEnv): TrackingServer {
  const address = env['MLFLOW_TRACKING_URI'];
  if (!address) throw new LoraError('usage', 'MLFLOW_TRACKING_URI does not name its server');
  const { MLFLOW_TRACKING_TOKEN: token = '', MLFLOW_TRACKING_USERNAME: user = '' } = env;
  const { MLFLOW_TRACKING_PASSWORD: password = '' } = env;
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  const headers = {
    ...(user && { Authorization: `Basic ${basic}` }),
    ...(token && { Authorization: `Bearer ${token}` }),
  };
  return new TrackingServer(address, headers, [token, basic, password]);
}

const metricsOf = ({ step, time, values }: Measured) =>
  Object.entries(values)
    .slice(0, MAX_METRICS)
    .map(([key, value]) => ({ key, value, timestamp: time, step }));

async function create(server: TrackingServer, { record, env }: TrackedRun): Promise<string> {
  const experiment_id = await experimentOf(server, env);
  const answer = await server.ask(`${API}/runs/create`, {
    experiment_id,
    run_name: record.name,
    start_time: Date.now(),
    tags: [{ key: RUN_TAG, value: record.id }],
  });
  return textAt(answer, ['run', 'info', 'run_id']);
}

async function experimentOf(server: TrackingServer, env: NodeJS.ProcessEnv): Promise<string> {
  const name = env['MLFLOW_EXPERIMENT_NAME'] || DEFAULT_EXPERIMENT;
  const query = `experiment_name=${encodeURIComponent(name)}`;
  try {
    const answer = await server.ask(`${API}/experiments/get-by-name?${query}`, null);
    return textAt(answer, ['experiment', 'experiment_id']);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    return textAt(await server.ask(`${API}/experiments/create`, { name }), ['experiment_id']);
  }
}

/**
 * The id of a run that was begun there; null: none was, or it is not there any more, or it is
 * another one: an untrusted folder may name any.
 */
async function goOn(
  server: TrackingServer,
  { record, run_dir }: TrackedRun,
): Promise<string | null> {
  const file = path.join(run_dir, RUN_FILES.mlflow);
  const limits = { maxBytes: MAX_BYTES.smallRecord, links: 'refused' } as const;
  const kept = await readJsonObject(file, 'run', limits).catch(() => null);
  const run_id = kept?.['run_id'];
  if (typeof run_id !== 'string') return null;
  try {
    const there = await server.ask(`${API}/runs/get?run_id=${encodeURIComponent(run_id)}`, null);
    if (!isTagged(there, record.id)) return null;
    await server.ask(`${API}/runs/update`, { run_id, status: 'RUNNING' });
    return run_id;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

function isTagged(answer: object, id: string): boolean {
  const tags = valueAt(answer, ['run', 'data', 'tags']);
  return (
    Array.isArray(tags) &&
    tags.some((tag) => isObject(tag) && tag['key'] === RUN_TAG && tag['value'] === id)
  );
}

async function keepId(run_dir: string, run_id: string): Promise<void> {
  const file = path.join(run_dir, RUN_FILES.mlflow);
  await refuseLinks(file, run_dir);
  await writeJson(file, { run_id });
}

function textAt(answer: object, keys: readonly string[]): string {
  const value = valueAt(answer, keys);
  if (typeof value !== 'string' || value.length > MAX_VALUE)
    throw new LoraError('engine', 'it does not answer as MLflow does');
  return value;
}

const valueAt = (answer: object, keys: readonly string[]): unknown =>
  keys.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key] : undefined), answer);
