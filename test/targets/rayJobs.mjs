// Jobs of the tiny llama on a Ray cluster of this machine, for the tests of targets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { tsImport } from 'tsx/esm/api';
import { engineItem, itemOf } from './items.mjs';
import { RayCluster } from './rayCluster.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const dist = path.join(root, 'dist');
export const folder = mkdtempSync(path.join(tmpdir(), 'lora-targets-'));
export const { signal } = new AbortController();
export const STEPS = 60;

const { RayTarget } = await tsImport('../../src/targets/ray/rayTarget.ts', import.meta.url);
const { newRunId } = await tsImport('../../src/shared/run.ts', import.meta.url);

export let cluster, items;
const nodes = [];

/** Starts a cluster whose head runs no jobs, and makes what is sent. */
export async function startCluster(count) {
  const data = path.join(folder, 'data');
  mkdirSync(data);
  const rows = Array.from({ length: 16 }, (_, i) => ({ text: `say ${i}, then ${i * 7}` }));
  writeFileSync(path.join(data, 'train.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const base = itemOf('base', path.join(root, 'test/fixtures/llama/base'));
  items = { engine: engineItem(), base, data: itemOf('dataset', data) };
  cluster = await RayCluster.start({ cpus: 0 });
  while (nodes.length < count) nodes.push(await cluster.addNode());
}

export async function stopCluster() {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
}

export const recipeOf = (base, dataset, training = {}) => ({
  base,
  dataset,
  lora: { r: 2 },
  samples: { sample_steps: 0 },
  training: {
    base_dtype: 'float32',
    max_steps: STEPS,
    per_device_train_batch_size: 2,
    max_length: 48,
    save_steps: 10,
    eval_steps: 20,
    ...training,
  },
});

export const entry = (values = {}) => ({
  name: 'loopback',
  address: cluster.address,
  storage: null,
  num_cpus: 1,
  num_gpus: 0,
  memory: null,
  env: [],
  token: 'RAY_AUTH_TOKEN',
  ...values,
});

/** Calls `use` with an open target. */
export async function withTarget(values, use, env = process.env) {
  const withToken = { ...env, RAY_AUTH_TOKEN: cluster.token };
  const target = new RayTarget(entry(values), { dist, env: withToken });
  try {
    return await use(target);
  } finally {
    target.dispose();
  }
}

export const jobOf = (training, id = newRunId()) => ({
  id,
  items: Object.values(items),
  engine: items.engine.id,
  recipe: JSON.stringify(
    recipeOf(`../../items/${items.base.id}`, `../../items/${items.data.id}/train.jsonl`, training),
  ),
  resume: false,
});

export const send = (target) =>
  target.put(Object.values(items), { signal, onProgress: () => undefined });

/** Waits for a state. */
export async function until(target, handle, holds) {
  for (;;) {
    const state = await target.state(handle, signal);
    if (holds(state)) return state;
    await wait(300);
  }
}
export const ended = (target, handle) => until(target, handle, ({ kind }) => kind === 'ended');

/** A file of the run folder, read in small parts. */
export async function contentOf(target, handle, file, maxBytes = 10_000) {
  const parts = [];
  for (let offset = 0; ;) {
    const part = await target.read(handle, file, { offset, maxBytes }, signal);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
    offset += part.length;
  }
}

export const stepsIn = (metrics) =>
  metrics
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === 'step')
    .map(({ step, loss, grad_norm }) => ({ step, loss, grad_norm }));

/** The same recipe trained by the engine here: the folder of its run. */
export function trainHere(training) {
  const place = mkdtempSync(path.join(folder, 'here-'));
  const base = path.join(root, 'test/fixtures/llama/base');
  const recipe = recipeOf(base, path.join(folder, 'data/train.jsonl'), training);
  writeFileSync(path.join(place, 'lora.json'), JSON.stringify(recipe));
  const run = path.join(place, 'run');
  const args = ['train', path.join(place, 'lora.json'), '--run-dir', run];
  execFileSync(process.execPath, [path.join(dist, 'cli.js'), ...args], { stdio: 'ignore' });
  return run;
}

export const ADAPTER = 'adapter/adapter_model.safetensors';

/**
 * The node of a run is killed when it has a checkpoint of `least` steps, or when `isKept` says that
 * one outlives the node; another job continues with the run, to the same bytes as one here.
 */
export async function losesItsNode(t, values, { env, isKept, least = 40 } = {}) {
  const training = { max_steps: 1_000, save_steps: 20, eval_steps: 200 };
  const use = async (target) => {
    await send(target);
    assert.equal((await target.present(Object.values(items), signal)).size, 3);
    const job = jobOf(training);
    const first = await target.start(job, signal);
    const stepOf = ({ path: name }) => Number(/^checkpoints\/step-(\d+)/.exec(name)?.[1] ?? 0);
    const hasSteps = async () =>
      (await target.list(first, signal)).some((file) => stepOf(file) >= least);
    const isSaved = isKept ? () => isKept(first) : hasSteps;
    while (!(await isSaved())) await wait(100);
    const metrics = stepsIn(await contentOf(target, first, 'metrics.jsonl'));
    await nodeOf(job.id).kill();
    const killed = Date.now();
    const state = await ended(target, first);
    t.diagnostic(`the loss was known after ${Date.now() - killed} ms`);
    assert.equal(state.isLost, true);
    assert.match(state.reason, /node .* was lost/);
    await send(target);
    const second = await target.start({ ...job, resume: true }, signal);
    assert.deepEqual((await target.jobs(signal))[0], second);
    assert.equal((await ended(target, second)).exitCode, 0);
    const run = trainHere(training);
    assert.deepEqual(
      await contentOf(target, second, ADAPTER),
      readFileSync(path.join(run, ADAPTER)),
    );
    const all = await contentOf(target, second, 'metrics.jsonl');
    assert.ok(all.includes('"kind":"resume"'));
    const here = stepsIn(readFileSync(path.join(run, 'metrics.jsonl')));
    assert.deepEqual(metrics, here.slice(0, metrics.length));
    assert.deepEqual(lastOfEach(stepsIn(all)), here);
    return { target, handle: second, run };
  };
  return withTarget(values, use, env);
}

/** The last line of each step: those that a resumed run repeats come twice. */
const lastOfEach = (steps) => [...new Map(steps.map((line) => [line.step, line])).values()];

/** The node that a job runs on: its logs have the job's folder. */
export const nodeOf = (job) =>
  nodes.find((node) => {
    const session = readdirSync(node.folder).find((name) => /^session_\d/.test(name));
    return readdirSync(path.join(node.folder, session, 'logs')).includes(`lora-${job}`);
  });
