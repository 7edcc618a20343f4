// engine/ray/train.py on a cluster of this machine: its losses next to those of the local engine,
// and what happens when a worker is killed or a file is not what was prepared.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  createMessageConnection,
  SocketMessageReader,
  SocketMessageWriter,
} from 'vscode-jsonrpc/node';
import { RayCluster } from './rayCluster.mjs';
import { trainerPython } from './trainer.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist', 'cli.js');
const program = path.join(root, 'engine', 'ray', 'train.py');
const tiny = path.join(root, 'test', 'fixtures', 'llama', 'base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-trainer-'));
const TOLERANCE = 1e-4;
/** Of an update, as a part of its norm. */
const UPDATE_TOLERANCE = 1e-3;
const STEPS = 20;
/** Every kind of thing that changes what a step computes. */
const RECIPE = {
  lora: { r: 4, use_dora: true, use_rslora: true, rank_pattern: { q_proj: 2 } },
  training: { gradient_accumulation_steps: 2, loraplus_lr_ratio: 4, weight_decay: 0.1 },
};
const PACKED = {
  lora: { r: 4, target_modules: ['q_proj', 'v_proj'], modules_to_save: ['lm_head'] },
  training: { packing: true, max_length: 128 },
};

let python, cluster;

before(async () => {
  python = trainerPython();
  cluster = await RayCluster.start({ home: path.resolve(python, '../..'), cpus: 2 });
  const rows = Array.from({ length: 40 }, (_, i) => ({
    prompt: `question ${i} `.repeat(1 + (i % 4)),
    completion: `answer ${i * 7}`,
  }));
  writeFileSync(path.join(folder, 'rows.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
});

after(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const lora = (...args) => execFileSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

/** A training run that is prepared. */
function planned(name, { base = tiny, lora: own = {}, training = {} }) {
  const recipe = path.join(folder, `${name}.json`);
  const text = {
    base,
    dataset: 'rows.jsonl',
    lora: own,
    samples: { sample_steps: 0 },
    training: {
      learning_rate: 2e-3,
      max_steps: STEPS,
      max_length: 64,
      base_dtype: 'float32',
      eval_steps: 10,
      save_steps: 4,
      save_total_limit: 9,
      ...training,
    },
  };
  writeFileSync(recipe, JSON.stringify(text));
  const plan = path.join(folder, `${name}-plan`);
  const lines = lora('prepare', recipe, '--output', plan, '--json').trim().split('\n');
  const { sha256 } = JSON.parse(lines.at(-1));
  return { plan, sha256, base, recipe, run: path.join(folder, `${name}-run`) };
}

/** A training run that is prepared, and the run of the local engine. */
function prepared(name, changes) {
  const training = planned(name, changes);
  const local = path.join(folder, `${name}-local`);
  lora('train', training.recipe, '--run-dir', local);
  return { ...training, local };
}

/** Starts train.py on the cluster. */
function start({ plan, sha256, base, run }, ...options) {
  const args = [program, plan, '--sha256', sha256, '--base', base, '--run-dir', run, ...options];
  const child = spawn(python, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...cluster.env,
      PATH: `${path.dirname(python)}:${process.env.PATH}`,
      RAY_ADDRESS: `127.0.0.1:${cluster.port}`,
      RAY_USAGE_STATS_ENABLED: '0',
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, output }));
  });
  let end = null;
  void ended.then((result) => (end = result));
  /** Waits for what is to happen before the program ends. */
  const until = async (holds) => {
    while (!holds()) {
      assert.equal(end, null, end?.output);
      await wait(20);
    }
  };
  return { ended, until };
}

const record = (run) => JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8'));

function linesOf(run) {
  const text = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1); // a run may be writing the last line
  return whole
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** Steps and evaluations, without those before a resume that came after its checkpoint. */
function lossesOf(run) {
  const kept = new Map();
  for (const line of linesOf(run)) {
    if (line.kind === 'resume')
      for (const [key, { step }] of kept) if (step > line.step) kept.delete(key);
    if (line.kind === 'step' || line.kind === 'eval') kept.set(`${line.kind} ${line.step}`, line);
  }
  return kept;
}

function assertSameLosses(run, local) {
  const [own, expected] = [lossesOf(run), lossesOf(local)];
  assert.deepEqual([...own.keys()].sort(), [...expected.keys()].sort());
  let gap = 0;
  for (const [key, line] of expected) {
    const { loss, tokens, labelled_tokens } = own.get(key);
    gap = Math.max(gap, Math.abs(loss - line.loss));
    assert.deepEqual([tokens, labelled_tokens], [line.tokens, line.labelled_tokens], key);
  }
  assert.ok(gap <= TOLERANCE, `the largest difference of a loss is ${gap}`);
  console.log(`# largest difference of a loss: ${gap.toExponential(1)}`);
}

/** What both engines write. */
function assertComplete(run, local) {
  assert.equal(record(run).state, 'completed');
  assert.equal(record(run).result.adapter, 'adapter');
  const config = (dir) => readFileSync(path.join(dir, 'adapter', 'adapter_config.json'), 'utf8');
  assert.equal(config(run), config(local));
  for (const name of ['adapter', 'best', 'checkpoints/step-20'])
    assert.deepEqual(readdirSync(path.join(run, name)), readdirSync(path.join(local, name)), name);
  const adapters = [run, local].map((dir) => path.join(dir, 'adapter'));
  const answers = lora('compare', ...adapters, '--base', tiny, '--json')
    .trim()
    .split('\n');
  const { modules } = JSON.parse(answers.at(-1));
  assert.ok(modules.length > 0);
  for (const { path: name, norm_of_difference, b } of modules)
    assert.ok(norm_of_difference <= UPDATE_TOLERANCE * b.norm, `${name}: ${norm_of_difference}`);
}

for (const [name, recipe, options] of [
  ['one', RECIPE, ['--workers', '1']],
  ['two', RECIPE, ['--workers', '2']],
  ['packed', PACKED, ['--workers', '2']],
  ['sharded', RECIPE, ['--workers', '2', '--strategy', 'fsdp']],
])
  test(`the losses are those of the local engine: ${name}`, async () => {
    const training = prepared(name, recipe);
    const { code, output } = await start(training, ...options).ended;
    assert.equal(code, 0, output);
    assertSameLosses(training.run, training.local);
    assertComplete(training.run, training.local);
  });

/** The processes of the workers: they write their logs into the folder of the cluster. */
const workers = () =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('ray::RayTrainWorker'))
        return false;
      const files = readdirSync(`/proc/${pid}/fd`).map((fd) =>
        readlinkSync(`/proc/${pid}/fd/${fd}`),
      );
      return files.some((file) => file.startsWith(`${cluster.folder}/`));
    } catch {
      return false;
    }
  });

test('a killed worker is replaced, and the run continues from its last checkpoint', async () => {
  const training = prepared('killed', RECIPE);
  const { ended, until } = start(training, '--workers', '2');
  const hasCheckpoint = () => {
    try {
      return linesOf(training.run).some(({ kind }) => kind === 'checkpoint');
    } catch {
      return false;
    }
  };
  await until(hasCheckpoint);
  process.kill(Number(workers()[0]), 'SIGKILL');
  const { code, output } = await ended;
  assert.equal(code, 0, output);
  assert.ok(linesOf(training.run).some(({ kind, step }) => kind === 'resume' && step >= 4));
  assertSameLosses(training.run, training.local);
});

/** Connects to the pipe of a run that trains. */
async function client(run) {
  const { pipe } = JSON.parse(readFileSync(path.join(run, 'engine.json'), 'utf8'));
  const socket = connect(pipe);
  await once(socket, 'connect');
  const connection = createMessageConnection(
    new SocketMessageReader(socket),
    new SocketMessageWriter(socket),
  );
  connection.listen();
  return connection;
}

test('two workers pause, save, go on and stop together, and the run is resumed', async () => {
  const training = planned('controlled', {
    ...RECIPE,
    training: { max_steps: 2_000, save_steps: 1_000, eval_steps: 1_000 },
  });
  const { ended, until } = start(training, '--workers', '2');
  const steps = () => linesOf(training.run).filter(({ kind }) => kind === 'step').length;
  await until(() => existsSync(path.join(training.run, 'metrics.jsonl')) && steps() > 0);
  const pipe = await client(training.run);
  await pipe.sendRequest('pause');
  await until(() => record(training.run).state === 'paused');
  const paused = steps();
  const { path: saved } = await pipe.sendRequest('checkpoint');
  assert.equal(saved, `checkpoints/step-${paused}`);
  assert.ok(existsSync(path.join(training.run, saved, 'optimizer.safetensors')));
  assert.equal(steps(), paused);
  const status = await pipe.sendRequest('status');
  assert.deepEqual([status.state, status.step, status.total_steps], ['paused', paused, 2_000]);
  await assert.rejects(pipe.sendRequest('generate', {}), /answers no prompts/);
  await pipe.sendRequest('resume');
  await until(() => steps() > paused);
  assert.equal(record(training.run).state, 'running');
  await pipe.sendRequest('stop');
  const { code, output } = await ended;
  assert.equal(code, 130, output);
  assert.equal(record(training.run).state, 'stopped');
  assert.ok(!existsSync(path.join(training.run, 'engine.json')));
  const last = steps();
  assert.ok(last < 2_000);
  assert.ok(existsSync(path.join(training.run, `checkpoints/step-${last}`, 'state.json')));
  assert.ok(existsSync(path.join(training.run, 'adapter', 'adapter_model.safetensors')));

  const resumed = start(training, '--workers', '2');
  await resumed.until(() => steps() > last);
  const again = await client(training.run);
  await again.sendRequest('pause');
  await resumed.until(() => record(training.run).state === 'paused');
  await again.sendRequest('stop');
  assert.equal((await resumed.ended).code, 130);
  assert.equal(linesOf(training.run).find(({ kind }) => kind === 'resume').step, last);
});

/** The record of a run that must fail, and that starts no step. */
async function failure(training) {
  const { code } = await start(training, '--workers', '2').ended;
  assert.equal(code, 1);
  const { state, error, result } = record(training.run);
  assert.equal(state, 'failed');
  assert.equal(result.steps, 0);
  return error.message;
}

const copied = (training, name) => {
  const plan = path.join(folder, `${name}-plan`);
  cpSync(training.plan, plan, { recursive: true });
  return { ...training, plan, run: path.join(folder, `${name}-run`) };
};

/** The plan after a change, with its new hash. */
function changed(training, name, change) {
  const own = copied(training, name);
  const file = path.join(own.plan, 'plan.json');
  const plan = JSON.parse(readFileSync(file, 'utf8'));
  change(plan);
  const text = JSON.stringify(plan);
  writeFileSync(file, text);
  return { ...own, sha256: createHash('sha256').update(text).digest('hex') };
}

test('what is not as it was prepared is refused with its name', async () => {
  const training = prepared('faults', { training: { max_steps: 2 } });
  const cut = copied(training, 'cut');
  truncateSync(path.join(cut.plan, 'examples.safetensors'), 1000);
  assert.match(await failure(cut), /examples\.safetensors has 1000 bytes instead of \d+\.$/);

  const other = path.join(folder, 'other-base');
  cpSync(tiny, other, { recursive: true });
  const weights = readFileSync(path.join(other, 'model.safetensors'));
  weights[weights.length - 1] ^= 1;
  rmSync(path.join(other, 'model.safetensors'));
  writeFileSync(path.join(other, 'model.safetensors'), weights);
  const foreign = { ...copied(training, 'foreign'), base: other };
  assert.match(await failure(foreign), /model\.safetensors is not the file that the run was/);

  const shapes = changed(training, 'shapes', ({ parameters }) => (parameters[0].shape[0] += 1));
  assert.match(await failure(shapes), /has the shape .* in PEFT, and .* in the plan\.$/);

  const names = changed(training, 'names', ({ parameters }) => (parameters[0].name += '.x'));
  assert.match(await failure(names), /does not train .*\.x, which the adapter has\.$/);

  const forged = copied(training, 'forged');
  const plan = path.join(forged.plan, 'plan.json');
  writeFileSync(plan, readFileSync(plan, 'utf8').replace('"pad_id"', '"pad_id" '));
  const { code, output } = await start(forged).ended;
  assert.equal(code, 2);
  assert.match(output, /plan\.json is not the plan that was prepared\./);
});
