// What each target does, written once. A test gives a context to each check:
//   { target, folder: for files here, newRunId }
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { engineItem, itemOf } from './items.mjs';

const base = path.resolve(import.meta.dirname, '../fixtures/llama/base');
const { signal } = new AbortController();
const STEPS = 6;
const LARGE = 5 * 2 ** 20;
const nothing = () => undefined;

/** Names of checks, and the checks. */
export const contract = {
  'tells its clock, or that it cannot': clock,
  'has an item in full or not at all': itemsInFull,
  'trains a job once and gives its files back': trainsOnce,
  'knows no job that was not started': unknownJob,
  'connects to a running engine, and ends it': connectsAndStops,
};

async function clock({ target }) {
  const now = await target.clock(signal);
  if (now !== null) assert.ok(Math.abs(now - Date.now()) < 60_000, String(now));
}

async function itemsInFull({ target, folder }) {
  const item = newItem(folder);
  const isThere = async () => (await target.present([item], signal)).has(item.id);
  const put = (files, options = {}) =>
    target.put([{ ...item, files }], { signal, onProgress: nothing, ...options });
  const [first, second] = item.files;
  assert.equal(await isThere(), false);

  await assert.rejects(put([first, { ...second, source: path.join(folder, 'no such file') }]));
  assert.equal(await isThere(), false);
  // shorter than it was
  await assert.rejects(put([first, { ...second, source: first.source }]));
  assert.equal(await isThere(), false);
  await assert.rejects(put(item.files, { signal: AbortSignal.abort() }), { area: 'cancelled' });
  assert.equal(await isThere(), false);

  const progress = [];
  await put(item.files, { onProgress: (bytes) => progress.push(bytes) });
  assert.equal(await isThere(), true);
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
  assert.equal(progress.at(-1), first.size + second.size);
  // what is there is not read again
  rmSync(path.dirname(first.source), { recursive: true, force: true });
  await target.put([item], { signal, onProgress: nothing });
}

async function trainsOnce(context) {
  const { target } = context;
  const job = await newJob(context, STEPS);
  const handle = await target.start(job, signal);
  await assert.rejects(target.start(job, signal), { area: 'target' });
  const { exitCode, isLost } = await ended(target, handle);
  assert.deepEqual([exitCode, isLost], [0, false]);
  assert.ok((await target.jobs(signal)).some((each) => each.job === job.id));
  assert.equal(await target.connect(handle, signal), null);

  const files = await target.list(handle, signal);
  const names = files.map((file) => file.path);
  for (const name of ['run.json', 'metrics.jsonl', 'adapter/adapter_model.safetensors'])
    assert.ok(names.includes(name), names.join(' '));
  for (const { path: name, size } of files) await checkFile(context, handle, { name, size });
  await givesNoOtherFiles(target, handle);
}

async function checkFile({ target }, handle, { name, size }) {
  const part = (offset, maxBytes) => target.read(handle, name, { offset, maxBytes }, signal);
  const whole = Buffer.from(await part(0, size + 100));
  assert.equal(whole.length, size, name);
  const middle = Math.floor(size / 2);
  assert.deepEqual(Buffer.from(await part(middle, 10)), whole.subarray(middle, middle + 10), name);
  assert.equal((await part(size, 10)).length, 0, name);
  assert.equal((await part(size + 1_000, 10)).length, 0, name);
  const hash = await target.hash(handle, name, signal);
  if (hash !== null) assert.equal(hash, createHash('sha256').update(whole).digest('hex'), name);
}

/** Of what is no file of the run there are no bytes, or an error of the target. */
async function givesNoOtherFiles(target, handle) {
  for (const name of ['no such file', '../lora.json', 'adapter/../run.json', '/etc/passwd', '']) {
    const bytes = await target
      .read(handle, name, { offset: 0, maxBytes: 10 }, signal)
      .catch((error) => {
        assert.equal(error.area, 'target', String(error));
        return [];
      });
    assert.equal(bytes.length, 0, name);
  }
}

async function unknownJob({ target, newRunId }) {
  const id = newRunId();
  const known = (await target.jobs(signal))[0];
  // the other values of a handle name the job, too
  const handle = JSON.parse(JSON.stringify(known).replaceAll(known.job, id));
  assert.deepEqual(await target.state(handle, signal), { kind: 'unknown' });
  assert.ok((await target.jobs(signal)).every(({ job }) => job !== id));
}

async function connectsAndStops(context) {
  const { target } = context;
  const handle = await target.start(await newJob(context, 1_000_000), signal);
  let pipe = null;
  for (; pipe === null; await wait(100)) {
    assert.notEqual((await target.state(handle, signal)).kind, 'ended');
    pipe = await target.connect(handle, signal);
  }
  pipe.on('error', nothing);
  assert.match(await statusFrom(pipe), /"state":"\w+"/);
  assert.equal((await target.state(handle, signal)).kind, 'running');
  await target.stop(handle, signal);
  const { exitCode } = await ended(target, handle);
  assert.notEqual(exitCode, 0);
  pipe.destroy();
  assert.equal(await target.connect(handle, signal), null);
}

/** What an engine answers when it is asked for its state. */
async function statusFrom(pipe) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'status' });
  pipe.write(`Content-Length: ${body.length}\r\n\r\n${body}`);
  let text = '';
  pipe.on('data', (bytes) => (text += bytes));
  while (!text.includes('"id":1') && !pipe.destroyed) await wait(20);
  return text;
}

async function ended(target, handle) {
  for (; ; await wait(200)) {
    const state = await target.state(handle, signal);
    assert.notEqual(state.kind, 'unknown');
    if (state.kind === 'ended') return state;
  }
}

/** Two files that no target has. */
function newItem(folder) {
  const own = mkdtempSync(path.join(folder, 'item '));
  mkdirSync(path.join(own, 'a folder'));
  writeFileSync(path.join(own, 'a folder', "it's one"), randomBytes(1_000));
  writeFileSync(path.join(own, 'second'), randomBytes(LARGE));
  return itemOf('item', own);
}

/** A job of the tiny llama, whose items are there. */
async function newJob({ target, folder, newRunId }, max_steps) {
  const data = mkdtempSync(path.join(folder, 'data '));
  const rows = Array.from({ length: 16 }, (_, i) => JSON.stringify({ text: `say ${i * 7}` }));
  writeFileSync(path.join(data, 'train.jsonl'), rows.join('\n'));
  const items = [engineItem(), itemOf('base', base), itemOf('dataset', data)];
  const [engine, model, dataset] = items.map(({ id }) => id);
  const present = await target.present(items, signal);
  const absent = items.filter(({ id }) => !present.has(id));
  await target.put(absent, { signal, onProgress: nothing });
  const recipe = {
    base: `../../items/${model}`,
    dataset: `../../items/${dataset}/train.jsonl`,
    lora: { r: 2 },
    samples: { sample_steps: 0 },
    training: { base_dtype: 'float32', max_steps, max_length: 48, save_steps: 3, eval_steps: 3 },
  };
  return { id: newRunId(), items, engine, recipe: JSON.stringify(recipe), resume: false };
}
