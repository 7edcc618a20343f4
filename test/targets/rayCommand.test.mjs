// lora train --on a Ray cluster of this machine: npm run test:targets -- rayCommand
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { RayCluster, rayHome } from './rayCluster.mjs';
import { trainerPython } from './trainer.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist', 'cli.js');
const base = path.join(root, 'test', 'fixtures', 'llama', 'base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora "ray" '));
const ADAPTER = ['adapter_config.json', 'adapter_model.safetensors'];
let runs = 0;

const children = new Set();

after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Starts the command line with a cluster as its only target. */
function start(cluster, ...args) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: {
      ...process.env,
      LORA_TARGETS: path.join(folder, 'targets.json'),
      CLUSTER_TOKEN: cluster.token,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part) => (text += part));
  return once(child, 'close').then(([code]) => ({ code, text }));
}

function writeTarget(cluster, change = {}) {
  const { address } = cluster;
  const entry = { name: 'cluster', kind: 'ray', address, token: 'CLUSTER_TOKEN', ...change };
  writeFileSync(path.join(folder, 'targets.json'), JSON.stringify([entry]));
}

function writeRecipe(max_steps) {
  const own = mkdtempSync(path.join(folder, "it's a recipe "));
  const rows = Array.from({ length: 40 }, (_, i) => ({ prompt: `${i}?`, completion: `${i * i}` }));
  writeFileSync(path.join(own, 'train.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const training = { max_steps, save_steps: 10, eval_steps: 10, base_dtype: 'float32' };
  const recipe = { base, dataset: 'train.jsonl', training, samples: { sample_steps: 0 } };
  const file = path.join(own, 'lora.json');
  writeFileSync(file, JSON.stringify(recipe));
  return file;
}

const newRun = () => path.join(folder, `20260101-000000-${(++runs).toString(16).padStart(4, '0')}`);
const read = (dir, name) => readFileSync(path.join(dir, name));
const json = (dir, name) => JSON.parse(read(dir, name).toString());
const linesOf = (dir) =>
  existsSync(path.join(dir, 'metrics.jsonl'))
    ? read(dir, 'metrics.jsonl')
        .toString()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))
    : [];

/** The node of the last job of a run, and the folder of the run there. */
function placeOf(cluster, dir) {
  const { submission } = json(dir, 'remote.json').handle;
  for (const node of cluster.nodes) {
    const session = readdirSync(node.folder).find((name) => /^session_\d/.test(name));
    const link = session && path.join(node.folder, session, 'logs', submission, 'run');
    if (link && existsSync(link)) return { node, run: realpathSync(link) };
  }
  throw new Error(`No node has ${submission}.`);
}

async function until(holds, run) {
  let end = null;
  void run.then((result) => (end = result));
  while (!holds()) {
    assert.equal(end, null, end?.text);
    await wait(50);
  }
}

/** `here` is `there` with so many bytes of an earlier job somewhere in between. */
function assertContinued(here, there, earlier) {
  const differs = there.findIndex((byte, i) => byte !== here[i]);
  const common = differs < 0 ? there.length : differs;
  assert.deepEqual(here.subarray(common + earlier), there.subarray(common));
}

/** Everything that the run has written there is here, with the places of this machine. */
function assertMirrored(cluster, dir, { recipe, state }) {
  const { run: there } = placeOf(cluster, dir);
  const folders = ['adapter', 'best'].filter((name) => existsSync(path.join(there, name)));
  const files = folders.flatMap((name) =>
    readdirSync(path.join(there, name)).map((file) => path.join(name, file)),
  );
  for (const file of files)
    if (path.basename(file) === 'adapter_config.json')
      assert.deepEqual(json(dir, file), { ...json(there, file), base_model_name_or_path: base });
    else assert.deepEqual(read(dir, file), read(there, file), file);
  const { earlier = {} } = json(dir, 'remote.json');
  for (const [as, file] of [
    ['metrics.jsonl', 'metrics.jsonl'],
    ['remote.log', 'engine.log'],
  ])
    assertContinued(read(dir, as), read(there, file), earlier[as] ?? 0);
  for (const file of ADAPTER) assert.ok(files.includes(path.join('adapter', file)), file);

  const { error, ...record } = json(dir, 'run.json');
  assert.deepEqual([record.state, error], [state, null]);
  assert.deepEqual(
    [record.id, record.recipe_path, record.recipe.base, record.recipe.dataset],
    [path.basename(dir), recipe, base, path.join(path.dirname(recipe), 'train.jsonl')],
  );
  assert.equal(record.result.adapter, 'adapter');
  assert.equal(record.result.steps, linesOf(dir).findLast(({ kind }) => kind === 'step').step);
  const text = JSON.stringify(record);
  assert.ok(!text.includes('/items/') && !text.includes(cluster.folder), text);
  assert.ok(!text.includes(cluster.token) && !read(dir, 'remote.json').includes(cluster.token));
}

/** Calls `use` with a cluster that is the target. */
async function withCluster({ home, entry, cpus = 1 }, use) {
  const cluster = await RayCluster.start({ home, cpus });
  try {
    writeTarget(cluster, entry);
    await use(cluster);
  } finally {
    await cluster.stop();
  }
}

async function trainsToItsEnd(cluster) {
  const [recipe, dir] = [writeRecipe(20), newRun()];
  const { code, text } = await start(cluster, 'train', recipe, '--on', 'cluster', '--run-dir', dir);
  assert.equal(code, 0, text);
  assertMirrored(cluster, dir, { recipe, state: 'completed' });
  assert.equal(linesOf(dir).filter(({ kind }) => kind === 'step').length, 20);
}

/** `stop`: the arguments that end it. With --kill, the engine may have no time to save. */
async function stopsAndResumes(cluster, stop = []) {
  const isSaved = stop.length === 0;
  const [recipe, dir] = [writeRecipe(200_000), newRun()];
  const ends = async (run) => {
    const asked = await start(cluster, 'stop', ...stop, dir);
    assert.equal(asked.code, 0, asked.text);
    const { code, text } = await run;
    // a job that is ended has a moment to save what it has
    assert.ok((isSaved ? [130] : [130, 1]).includes(code), text);
    if (isSaved) assertMirrored(cluster, dir, { recipe, state: 'stopped' });
  };
  const run = start(cluster, 'train', recipe, '--on', 'cluster', '--run-dir', dir);
  await until(() => linesOf(dir).some(({ kind }) => kind === 'checkpoint'), run);
  await ends(run);
  const resumed = start(cluster, 'train', '--resume', dir);
  await until(() => {
    const lines = linesOf(dir);
    const at = lines.findLastIndex(({ kind }) => kind === 'resume');
    return at > 0 && lines.slice(at).some(({ kind }) => kind === 'step');
  }, resumed);
  await ends(resumed);
}

test('trains by our engine, stops and resumes', () =>
  withCluster({ home: rayHome(), entry: {} }, async (cluster) => {
    await trainsToItsEnd(cluster);
    await stopsAndResumes(cluster);
  }));

test('goes on by itself when the node is lost', () =>
  withCluster({ home: rayHome(), entry: {}, cpus: 0 }, async (cluster) => {
    await cluster.addNode();
    await cluster.addNode();
    const [recipe, dir] = [writeRecipe(1_000), newRun()];
    const run = start(cluster, 'train', recipe, '--on', 'cluster', '--run-dir', dir);
    await until(() => linesOf(dir).some(({ kind }) => kind === 'checkpoint'), run);
    await placeOf(cluster, dir).node.kill();
    const { code, text } = await run;
    assert.equal(code, 0, text);
    assert.match(text, /The machine of the run on cluster was lost: it continues elsewhere\./);
    assertMirrored(cluster, dir, { recipe, state: 'completed' });
    const steps = linesOf(dir).flatMap(({ kind, step }) => (kind === 'step' ? [step] : []));
    assert.equal(new Set(steps).size, 1_000);
    assert.ok(linesOf(dir).some(({ kind }) => kind === 'resume'));
  }));

test('trains by Ray Train, stops and resumes, and is ended and resumes', () => {
  const home = path.resolve(trainerPython(), '../..');
  const entry = { engine: 'ray-train', workers: 1 };
  return withCluster({ home, entry }, async (cluster) => {
    await trainsToItsEnd(cluster);
    await stopsAndResumes(cluster);
    await stopsAndResumes(cluster, ['--kill']);
  });
});
