// Runs on a Slurm cluster of one node on loopback: npm run test:targets -- slurm
// It needs slurm-wlm, munge and openssh-server, and root.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { askEngine as ask } from './askEngine.mjs';
import { SlurmCluster, slurmMissing } from './slurmCluster.mjs';
import { sshdMissing, SshServer } from './sshServer.mjs';
import { testContract } from './testContract.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist', 'cli.js');
const base = path.join(root, 'test', 'fixtures', 'llama', 'base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-slurm-'));
/** Nothing of it may mean anything to a shell, or to Slurm's patterns. */
const remote = path.join(folder, `it's "%j" $(touch ${path.join(folder, 'injected')})`);
const ADAPTER = 'adapter/adapter_model.safetensors';
let server, cluster;
let runs = 0;

const missing = slurmMissing() ?? sshdMissing();
if (missing) throw new Error(missing);

before(async () => {
  for (const name of ['ssh', 'slurm']) mkdirSync(path.join(folder, name));
  cluster = await SlurmCluster.start(path.join(folder, 'slurm'));
  server = await SshServer.start(path.join(folder, 'ssh'));
  await server.down();
  await server.up([`SetEnv SLURM_CONF=${cluster.config}`]);
  writeTargets();
});

after(async () => {
  await cluster?.stop();
  await server?.down();
  rmSync(folder, { recursive: true, force: true });
});

const entry = (sbatch = {}) => ({
  name: 'cluster',
  kind: 'slurm',
  host: 'box',
  config: server.file('config'),
  root: remote,
  sbatch,
});

const writeTargets = (sbatch) =>
  writeFileSync(path.join(folder, 'targets.json'), JSON.stringify([entry(sbatch)]));

function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, LORA_TARGETS: path.join(folder, 'targets.json') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said.text += text));
  const end = once(child, 'close').then(([code]) => ({ code, text: said.text }));
  return { child, said, end };
}
const lora = (...args) => start(...args).end;

function recipe(max_steps) {
  const own = mkdtempSync(path.join(folder, 'recipe-'));
  const rows = Array.from({ length: 40 }, (_, i) => ({ prompt: `${i}?`, completion: `${i * i}` }));
  writeFileSync(path.join(own, 'train.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const training = { max_steps, save_steps: 20, eval_steps: 100, base_dtype: 'float32' };
  const text = { base, dataset: 'train.jsonl', training, samples: { sample_steps: 0 } };
  writeFileSync(path.join(own, 'lora.json'), JSON.stringify(text));
  return path.join(own, 'lora.json');
}

const newRun = () => path.join(folder, `20260101-000000-${(++runs).toString(16).padStart(4, '0')}`);
const there = (dir, name) => path.join(remote, 'jobs', path.basename(dir), name);
const bytes = (file) => (existsSync(file) ? readFileSync(file) : Buffer.alloc(0));
const recordOf = (dir) => JSON.parse(readFileSync(path.join(dir, 'run.json'), 'utf8'));
const numberOf = (dir) => String(JSON.parse(bytes(there(dir, 'slurm.json'))).number);
const lines = (dir) => bytes(path.join(dir, 'metrics.jsonl')).toString().trim().split('\n');

/** The numbers of each step: a step that was trained again counts once. */
const stepsOf = (dir) => [
  ...new Map(
    lines(dir)
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
      .filter(({ kind }) => kind === 'step')
      .map(({ step, loss, grad_norm }) => [step, { step, loss, grad_norm }]),
  ).values(),
];

async function until(isTrue, run, seconds = 300) {
  for (const end = Date.now() + seconds * 1000; !isTrue(); await wait(50))
    assert.ok(Date.now() < end, `it takes too long: ${run?.said.text}`);
}

const isRunning = (dir) => stepsOf(dir).length > 0;
const follow = (file, dir) => start('train', file, '--on', 'cluster', '--run-dir', dir);

testContract(() => ({ entry: entry(), folder }));

test('checks a cluster, and its partitions', async () => {
  const { code, text } = await lora('targets', 'check', 'cluster', '--json');
  const { machines, missing: lacking, node } = JSON.parse(text);
  assert.equal(code, 0, text);
  assert.deepEqual([lacking, node], [[], process.version]);
  assert.deepEqual([machines[0].name, machines[0].cores], ['cpu: localhost', 2]);
  writeTargets({ partition: 'cpus' });
  const wrong = await lora('train', recipe(20), '--on', 'cluster', '--run-dir', newRun());
  assert.equal(wrong.code, 1);
  assert.match(wrong.text, /There is no partition cpus\. The cluster has: cpu, night, low, high\./);
  writeTargets();
});

test('refuses values of sbatch of another form', async () => {
  for (const sbatch of [
    { partition: 'cpu" --wrap=id' },
    { time: "1:00'; id" },
    { mem: '1G\n#SBATCH --wrap=id' },
    { wrap: 'id' },
    { 'job-name': 'x' },
    { output: '/x' },
  ]) {
    writeTargets(sbatch);
    const { code, text } = await lora('targets', 'check', 'cluster');
    assert.equal(code, 1, text);
    assert.match(text, new RegExp(`targets\\.json:1:\\d+.*${Object.keys(sbatch)[0]}`, 's'));
  }
  writeTargets();
});

test('says why Slurm does not take a job, and starts it later', async () => {
  const dir = newRun();
  writeTargets({ gres: 'gpu:h100:1' });
  const refused = await lora('train', recipe(20), '--on', 'cluster', '--run-dir', dir);
  assert.equal(refused.code, 1);
  assert.match(refused.text, /Slurm does not take the job: .*(?:generic resource|gres)/i);
  writeTargets();
  const again = await lora('train', '--resume', dir);
  assert.equal(again.code, 0, again.text);
});

test('trains on a node, and brings everything', async () => {
  writeTargets({ time: '1:00:00', 'cpus-per-task': 2 });
  const dir = newRun();
  const { code, text } = await lora('train', recipe(40), '--on', 'cluster', '--run-dir', dir);
  assert.equal(code, 0, text);
  assert.equal(recordOf(dir).state, 'completed');
  for (const name of ['metrics.jsonl', ADAPTER])
    assert.deepEqual(bytes(path.join(dir, name)), bytes(there(dir, `run/${name}`)), name);
  assert.equal(stepsOf(dir).length, 40);
  assert.ok(!existsSync(path.join(folder, 'injected')));
  writeTargets();
});

test('reaches the engine on its node: pause, resume, checkpoint, stop', async () => {
  const dir = newRun();
  const run = follow(recipe(200_000), dir);
  await until(() => isRunning(dir), run);
  // process ids of its own: not the machine of the agent
  const { machine } = JSON.parse(bytes(there(dir, 'run/engine.json')));
  assert.ok(!machine.endsWith(readlinkSync('/proc/self/ns/pid')));
  const slurmSteps = () => cluster.ask('squeue', '--steps', '-h', '-o', '%i');
  await until(() => new RegExp(`^${numberOf(dir)}\\.\\d`, 'm').test(slurmSteps()), run);
  // the step is there a little before the connection
  for (let error = ''; error !== null; await wait(100))
    error = await ask(dir, 'pause').then(
      () => null,
      ({ message }) => message,
    );
  while ((await ask(dir, 'status')).state !== 'paused') await wait(100);
  const steps = stepsOf(dir).length;
  await ask(dir, 'resume');
  await until(() => stepsOf(dir).length > steps, run);
  assert.match((await ask(dir, 'checkpoint')).path, /^checkpoints\/step-\d+$/);
  assert.equal((await lora('stop', dir)).code, 0);
  assert.equal((await run.end).code, 130);
  assert.equal(recordOf(dir).state, 'stopped');
  await until(() => cluster.ask('squeue', '-h') === '');
});

test('goes on from its checkpoint when Slurm requeues it, to the same bytes', async () => {
  const file = recipe(3_000);
  const [dir, whole] = [newRun(), newRun()];
  const run = follow(file, dir);
  await until(() => existsSync(there(dir, 'run/checkpoints/step-40')), run);
  const number = numberOf(dir);
  cluster.ask('scontrol', 'requeue', number);
  await until(() => /BeginTime/.test(remoteStage(dir)), run);
  assert.notEqual(recordOf(dir).state, 'completed');
  cluster.ask('scontrol', 'update', `JobId=${number}`, 'StartTime=now');
  const { code, text } = await run.end;
  assert.equal(code, 0, text);
  assert.ok(lines(dir).some((line) => line.includes('"kind":"resume"')));
  const { code: other } = await lora('train', file, '--run-dir', whole);
  assert.equal(other, 0);
  assert.deepEqual(stepsOf(dir), stepsOf(whole));
  assert.deepEqual(bytes(path.join(dir, ADAPTER)), bytes(path.join(whole, ADAPTER)));
});

test('goes on from its checkpoint when another job takes its place', async () => {
  writeTargets({ partition: 'low' });
  const dir = newRun();
  const run = follow(recipe(3_000), dir);
  await until(() => existsSync(there(dir, 'run/checkpoints/step-40')), run);
  const other = ['--partition=high', '--cpus-per-task=2', '--output=/dev/null', '--wrap=sleep 3'];
  cluster.ask('sbatch', ...other);
  await until(() => /"kind":"queued"/.test(remoteStage(dir).replaceAll(' ', '')), run);
  await until(() => cluster.ask('squeue', '-h', '--partition=high') === '', run);
  cluster.ask('scontrol', 'update', `JobId=${numberOf(dir)}`, 'StartTime=now');
  const { code, text } = await run.end;
  assert.equal(code, 0, text);
  assert.ok(lines(dir).some((line) => line.includes('"kind":"resume"')));
  assert.equal(stepsOf(dir).length, 3_000);
  writeTargets();
});

test('does not show an earlier end when it is requeued and dies at once', async () => {
  const dir = newRun();
  const run = follow(recipe(200_000), dir);
  await until(() => existsSync(there(dir, 'run/checkpoints/step-20')), run);
  const number = numberOf(dir);
  cluster.ask('scontrol', 'requeuehold', number);
  await until(() => /"state": ?"stopped"/.test(bytes(there(dir, 'run/run.json'))), run);
  // as on a node that is broken
  const items = path.join(remote, 'items');
  const engine = readdirSync(items).find((id) => existsSync(path.join(items, id, 'cli.js')));
  const cliThere = path.join(items, engine, 'cli.js');
  const whole = readFileSync(cliThere);
  writeFileSync(cliThere, 'process.exit(3);');
  cluster.ask('scontrol', 'release', number);
  cluster.ask('scontrol', 'update', `JobId=${number}`, 'StartTime=now');
  const { code, text } = await run.end;
  writeFileSync(cliThere, whole);
  assert.equal(code, 1, text);
  assert.match(text, /The engine on cluster ended/);
  assert.notEqual(recordOf(dir).state, 'stopped');
  const resumed = start('train', '--resume', dir);
  await until(() => lines(dir).some((line) => line.includes('"kind":"resume"')), resumed);
  assert.equal((await lora('stop', dir)).code, 0);
  assert.equal((await resumed.end).code, 130);
});

const remoteStage = (dir) => bytes(path.join(dir, 'remote.json')).toString();

test('says that a job was cancelled, and goes on from what it saved', async () => {
  const dir = newRun();
  const run = follow(recipe(200_000), dir);
  await until(() => existsSync(there(dir, 'run/checkpoints/step-20')), run);
  cluster.ask('scancel', numberOf(dir));
  const { code, text } = await run.end;
  assert.equal(code, 130, text);
  assert.match(text, /its Slurm job was cancelled/);
  assert.equal(recordOf(dir).state, 'stopped');
  const resumed = start('train', '--resume', dir);
  await until(() => lines(dir).some((line) => line.includes('"kind":"resume"')), resumed);
  // a killed engine leaves no record of its end
  assert.equal((await lora('stop', dir, '--kill')).code, 0);
  const killed = await resumed.end;
  assert.equal(killed.code, 1, killed.text);
  assert.match(killed.text, /The engine on cluster ended without a message/);
});

test('says that the time limit was reached, with what was saved', async () => {
  writeTargets({ time: 1 });
  const dir = newRun();
  const { code, text } = await lora('train', recipe(200_000), '--on', 'cluster', '--run-dir', dir);
  assert.equal(code, 130, text);
  assert.match(text, /its Slurm job reached its time limit/);
  assert.equal(recordOf(dir).state, 'stopped');
  writeTargets();
});

test('waits with the reason of Slurm, and is cancelled while it waits', async () => {
  writeTargets({ partition: 'night' });
  const dir = newRun();
  const run = follow(recipe(20), dir);
  await until(() => /the partition is down \(PartitionDown\)/.test(remoteStage(dir)), run);
  assert.equal((await lora('stop', dir, '--kill')).code, 0);
  const { code, text } = await run.end;
  assert.equal(code, 1, text);
  assert.match(text, /its Slurm job was cancelled/);
  writeTargets();
});
