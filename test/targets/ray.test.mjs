// npm run test:targets: a target that is a Ray cluster of four nodes on this machine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { tsImport } from 'tsx/esm/api';
import { engineItem, itemOf } from './items.mjs';
import { RayCluster } from './rayCluster.mjs';
import { testContract } from './testContract.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const dist = path.join(root, 'dist');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-targets-'));
const { signal } = new AbortController();
const STEPS = 60;

let cluster, nodes, items, RayTarget, newRunId;

before(async () => {
  ({ RayTarget } = await tsImport('../../src/targets/ray/rayTarget.ts', import.meta.url));
  ({ newRunId } = await tsImport('../../src/shared/run.ts', import.meta.url));
  const data = path.join(folder, 'data');
  mkdirSync(data);
  const rows = Array.from({ length: 16 }, (_, i) => ({ text: `say ${i}, then ${i * 7}` }));
  writeFileSync(path.join(data, 'train.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const base = itemOf('base', path.join(root, 'test/fixtures/llama/base'));
  items = { engine: engineItem(), base, data: itemOf('dataset', data) };
  cluster = await RayCluster.start({ cpus: 0 });
  // two of them are lost
  nodes = [await cluster.addNode(), await cluster.addNode(), await cluster.addNode()];
});

after(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const recipeOf = (base, dataset, training = {}) => ({
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

const entry = (values = {}) => ({
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
async function withTarget(values, use, env = process.env) {
  const withToken = { ...env, RAY_AUTH_TOKEN: cluster.token };
  const target = new RayTarget(entry(values), { dist, env: withToken });
  try {
    return await use(target);
  } finally {
    target.dispose();
  }
}

const jobOf = (training, id = newRunId()) => ({
  id,
  items: Object.values(items),
  engine: items.engine.id,
  recipe: JSON.stringify(
    recipeOf(`../../items/${items.base.id}`, `../../items/${items.data.id}/train.jsonl`, training),
  ),
  resume: false,
});

const send = (target) => target.put(Object.values(items), { signal, onProgress: () => undefined });

/** Waits for a state. */
async function until(target, handle, holds) {
  for (;;) {
    const state = await target.state(handle, signal);
    if (holds(state)) return state;
    await wait(300);
  }
}
const ended = (target, handle) => until(target, handle, ({ kind }) => kind === 'ended');

/** A file of the run folder, read in small parts. */
async function contentOf(target, handle, file, maxBytes = 10_000) {
  const parts = [];
  for (let offset = 0; ;) {
    const part = await target.read(handle, file, { offset, maxBytes }, signal);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
    offset += part.length;
  }
}

const stepsIn = (metrics) =>
  metrics
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === 'step')
    .map(({ step, loss, grad_norm }) => ({ step, loss, grad_norm }));

/** The same recipe trained by the engine here: the folder of its run. */
function trainHere(training) {
  const place = mkdtempSync(path.join(folder, 'here-'));
  const base = path.join(root, 'test/fixtures/llama/base');
  const recipe = recipeOf(base, path.join(folder, 'data/train.jsonl'), training);
  writeFileSync(path.join(place, 'lora.json'), JSON.stringify(recipe));
  const run = path.join(place, 'run');
  const args = ['train', path.join(place, 'lora.json'), '--run-dir', run];
  execFileSync(process.execPath, [path.join(dist, 'cli.js'), ...args], { stdio: 'ignore' });
  return run;
}

const ADAPTER = 'adapter/adapter_model.safetensors';

test('says in one sentence why the environment of a job could not be made', async () => {
  const env = { ...process.env, PIP_INDEX_URL: 'http://127.0.0.1:9', PIP_RETRIES: '0' };
  const values = { env: ['PIP_INDEX_URL', 'PIP_RETRIES'] };
  await withTarget(
    values,
    async (target) => {
      await send(target);
      const handle = await target.start(jobOf(), signal);
      const state = await ended(target, handle);
      assert.match(state.reason, /^The environment of the job could not be made: [^\n]{10,300}\.$/);
      assert.equal(state.isLost, false);
    },
    env,
  );
});

testContract(() => ({
  entry: { kind: 'ray', ...entry() },
  folder,
  env: { RAY_AUTH_TOKEN: cluster.token },
}));

test('trains as the engine here does, and gives every file back', async () => {
  await withTarget({}, async (target) => {
    const report = await target.check(signal);
    assert.equal(report.machines.length, 4);
    assert.deepEqual(report.missing, []);
    assert.ok(Math.abs((await target.clock(signal)) - Date.now()) < 5_000);
    await send(target);
    assert.equal((await target.present(Object.values(items), signal)).size, 3);
    const job = jobOf();
    const handle = await target.start(job, signal);
    await assert.rejects(target.start(job, signal), /has a job of this run already/);
    assert.deepEqual(await ended(target, handle), {
      kind: 'ended',
      exitCode: 0,
      reason: null,
      isLost: false,
    });
    const run = trainHere();
    const metrics = await contentOf(target, handle, 'metrics.jsonl', 777);
    const here = stepsIn(readFileSync(path.join(run, 'metrics.jsonl')));
    assert.equal(here.length, STEPS);
    assert.deepEqual(stepsIn(metrics), here);
    assert.deepEqual(
      await contentOf(target, handle, ADAPTER),
      readFileSync(path.join(run, ADAPTER)),
    );
    for (const { path: file, size } of await target.list(handle, signal)) {
      const content = await contentOf(target, handle, file);
      assert.equal(content.length, size, file);
      const hash = await target.hash(handle, file, signal);
      if (hash !== null) assert.equal(createHash('sha256').update(content).digest('hex'), hash);
    }
    assert.deepEqual((await target.jobs(signal))[0], handle);
  });
});

/** Asks the engine, and gives its answer and how long it took. */
async function ask(pipe, id, method, params) {
  const body = JSON.stringify({ jsonrpc: '2.0', id, method, ...(params && { params }) });
  const asked = Date.now();
  let text = '';
  const answer = new Promise((resolve) => {
    const onData = (bytes) => {
      text += bytes;
      for (const [line] of text.matchAll(/\{"jsonrpc".*?(?=Content-Length|$)/gs)) {
        const message = parsed(line);
        if (message?.id !== id) continue;
        pipe.off('data', onData);
        resolve(message);
      }
    };
    pipe.on('data', onData);
  });
  pipe.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const message = await answer;
  return { message, took: Date.now() - asked };
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

test('connects to the engine: pause, resume, checkpoint, stop', async (t) => {
  await withTarget({}, async (target) => {
    await send(target);
    const handle = await target.start(jobOf({ max_steps: 100_000 }), signal);
    await until(target, handle, ({ kind }) => kind === 'running');
    let pipe = null;
    while (pipe === null) pipe = await target.connect(handle, signal);
    pipe.on('error', () => undefined);
    for (let state; state !== 'running'; await wait(200))
      state = (await ask(pipe, 1, 'status')).message.result.state;
    const { took } = await ask(pipe, 2, 'pause');
    for (let state; state !== 'paused';)
      state = (await ask(pipe, 1, 'status')).message.result.state;
    await ask(pipe, 3, 'resume');
    const { message } = await ask(pipe, 4, 'checkpoint');
    assert.match(message.result.path, /^checkpoints\/step-\d+$/);
    t.diagnostic(`pause was answered after ${took} ms`);
    await ask(pipe, 5, 'stop');
    const state = await ended(target, handle);
    assert.equal(state.exitCode, 130);
    const record = JSON.parse(await contentOf(target, handle, 'run.json'));
    assert.equal(record.state, 'stopped');
    pipe.destroy();
    assert.equal(await target.connect(handle, signal), null);
  });
});

test('keeps a job in the queue that no node has room for, and stops it there', async () => {
  await withTarget({ num_cpus: 8 }, async (target) => {
    assert.match((await target.check(signal)).missing.join(), /No node has the 8 CPUs/);
    await send(target);
    const handle = await target.start(jobOf(), signal);
    await wait(3_000);
    const state = await target.state(handle, signal);
    assert.equal(state.kind, 'queued');
    assert.match(state.reason, /8 CPUs/);
    assert.deepEqual(await target.list(handle, signal), []);
    await target.stop(handle, signal);
    assert.equal((await ended(target, handle)).isLost, false);
  });
});

test('refuses a storage that cannot be written', async () => {
  const file = path.join(folder, 'file');
  writeFileSync(file, '');
  await withTarget({ storage: path.join(file, 'storage') }, async (target) => {
    const [sentence] = (await target.check(signal)).missing;
    assert.match(sentence, /^The storage .* cannot be written on this node: Not a directory\.$/);
    await assert.rejects(target.present([items.base], signal), /cannot be written/);
  });
});

async function losesItsNode(t, storage) {
  const training = { max_steps: 600, save_steps: 20, eval_steps: 200 };
  await withTarget({ storage }, async (target) => {
    await send(target);
    assert.equal((await target.present(Object.values(items), signal)).size, 3);
    const job = jobOf(training);
    const first = await target.start(job, signal);
    const has = async (name) =>
      (await target.list(first, signal)).some((file) => file.path.startsWith(name));
    while (!(await has('checkpoints/step-40'))) await wait(100);
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
    assert.match(all.toString(), /"kind":"resume"/);
    const here = stepsIn(readFileSync(path.join(run, 'metrics.jsonl')));
    assert.deepEqual(metrics, here.slice(0, metrics.length));
    assert.deepEqual(lastOfEach(stepsIn(all)), here);
  });
}

/** The last line of each step: those that a resumed run repeats come twice. */
const lastOfEach = (steps) => [...new Map(steps.map((line) => [line.step, line])).values()];

test('goes on from its storage when the node is lost, to the same bytes', (t) =>
  losesItsNode(t, path.join(folder, 'storage')));

test('goes on from the checkpoint that the cluster kept, to the same bytes', (t) =>
  losesItsNode(t, null));

/** The node that a job runs on: its logs have the job's folder. */
const nodeOf = (job) =>
  nodes.find((node) => {
    const session = readdirSync(node.folder).find((name) => /^session_\d/.test(name));
    return readdirSync(path.join(node.folder, session, 'logs')).includes(`lora-${job}`);
  });
