// Runs over a real OpenSSH server on loopback: npm run test:targets -- ssh
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { sshdMissing, SshServer } from './sshServer.mjs';
import { testContract } from './testContract.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist', 'cli.js');
const base = path.join(root, 'test', 'fixtures', 'llama', 'base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora ssh '));
/** Nothing of it may mean anything to a shell. */
const remote = path.join(folder, `it's "$(touch ${path.join(folder, 'injected')})" \`x\``);
let server;
let runs = 0;

const start = (args, env = {}) => {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, LORA_TARGETS: path.join(folder, 'targets.json'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said.text += text));
  const end = once(child, 'close').then(([code]) => ({ code, text: said.text }));
  return { child, said, end };
};
const lora = (...args) => start(args).end;

const box = () => ({
  name: 'box',
  kind: 'ssh',
  host: 'box',
  config: server.file('config'),
  root: remote,
});

const writeTargets = (change = {}) =>
  writeFileSync(path.join(folder, 'targets.json'), JSON.stringify([{ ...box(), ...change }]));

function recipe(max_steps) {
  const own = mkdtempSync(path.join(folder, 'recipe '));
  const rows = Array.from({ length: 40 }, (_, i) => ({ prompt: `${i}?`, completion: `${i * i}` }));
  writeFileSync(
    path.join(own, 'train.jsonl'),
    rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
  );
  const training = { max_steps, save_steps: 20, eval_steps: 20, base_dtype: 'float32' };
  const text = { base, dataset: 'train.jsonl', training, samples: { sample_steps: 0 } };
  writeFileSync(path.join(own, 'lora.json'), JSON.stringify(text));
  return path.join(own, 'lora.json');
}

const newRun = () => path.join(folder, `20260101-000000-${(++runs).toString(16).padStart(4, '0')}`);
const there = (dir, name) => path.join(remote, 'jobs', path.basename(dir), 'run', name);
const metrics = (file) => (existsSync(file) ? readFileSync(file) : Buffer.alloc(0));
const steps = (dir) =>
  metrics(path.join(dir, 'metrics.jsonl')).toString().split('"kind":"step"').length - 1;
const recordOf = (dir) => JSON.parse(readFileSync(path.join(dir, 'run.json'), 'utf8'));

function assertEqualFolders(dir) {
  for (const name of ['metrics.jsonl', 'adapter/adapter_model.safetensors'])
    assert.deepEqual(metrics(path.join(dir, name)), metrics(there(dir, name)), name);
  // it names the base by its path here
  const config = 'adapter/adapter_config.json';
  const json = (file) => JSON.parse(readFileSync(file, 'utf8'));
  const base_model_name_or_path = recordOf(dir).recipe.base;
  assert.deepEqual(json(path.join(dir, config)), {
    ...json(there(dir, config)),
    base_model_name_or_path,
  });
  assert.ok(steps(dir) > 0);
}

async function until(isTrue, seconds = 240) {
  for (const end = Date.now() + seconds * 1000; !isTrue();) {
    assert.ok(Date.now() < end, 'it takes too long');
    await wait(20);
  }
}

const isMissing = sshdMissing();
if (isMissing) throw new Error(isMissing);
before(async () => {
  server = await SshServer.start(folder);
  writeTargets();
});
after(async () => {
  await server.down();
  rmSync(folder, { recursive: true, force: true });
});

testContract(() => ({ entry: box(), folder }));

test('checks a target', async () => {
  const { code, text } = await lora('targets', 'check', 'box', '--json');
  const { machines, missing, node } = JSON.parse(text);
  assert.equal(code, 0, text);
  assert.deepEqual([missing, node], [[], process.version]);
  assert.ok(machines[0].cores > 0 && machines[0].memory > 0);
});

test('trains there, brings everything, and sends nothing twice', async () => {
  const [file, dir, again] = [recipe(40), newRun(), newRun()];
  const first = await lora('train', file, '--on', 'box', '--run-dir', dir);
  assert.equal(first.code, 0, first.text);
  assert.match(first.text, /Sending .* engine .*, base .*, dataset/);
  assertEqualFolders(dir);
  const { state, recipe: own, recipe_path } = recordOf(dir);
  assert.deepEqual([state, own.base, recipe_path], ['completed', base, file]);
  const second = await lora('train', file, '--on', 'box', '--run-dir', again);
  assert.match(second.text, /Nothing is sent to box\. It has already: engine, base, dataset/);
  assert.deepEqual(
    metrics(path.join(again, 'adapter/adapter_model.safetensors')),
    metrics(path.join(dir, 'adapter/adapter_model.safetensors')),
  );
  assert.ok(!existsSync(path.join(folder, 'injected')));
});

test('says what is wrong with a host, its key, or the login', async () => {
  const refused = async (change, words) => {
    server.writeConfig(change);
    const { code, text } = await lora('targets', 'check', 'box');
    assert.equal(code, 1);
    assert.match(text, words);
  };
  await refused({ host: 'no-such-host.invalid' }, /There is no host box/);
  await refused({ known: null }, /key of box is not known.*\nLog in once in a terminal.*ssh box/s);
  assert.equal(readFileSync(server.file('known_hosts'), 'utf8'), '');
  await refused({ known: 'other' }, /key of box is another one than before/);
  await refused({ key: 'stranger' }, /box refuses the login/);
  server.writeConfig({});
  writeTargets({ node: '/no/such/node' });
  const { text } = await lora('targets', 'check', 'box');
  assert.match(text, /box has no Node 20 or newer/);
  writeTargets({ host: '-oProxyCommand=touch injected' });
  assert.match(
    (await lora('targets', 'check', 'box')).text,
    /targets.json:1:\d+.*host.*must be a host/,
  );
  writeTargets();
});

test('goes on without the network and without this process, to the same bytes', async () => {
  const [file, dir] = [recipe(200_000), newRun()];
  const run = start(['train', file, '--on', 'box', '--run-dir', dir]);
  await until(() => steps(dir) > 20);
  const second = await lora('attach', dir);
  assert.match(second.text, /being trained by another process/);
  await server.down();
  await until(() => run.said.text.includes('The run continues there'));
  await wait(3000);
  await server.up();
  await until(() => run.said.text.includes('can be reached again'));
  run.child.kill('SIGKILL');
  await run.end;
  assert.equal(recordOf(dir).state, 'running');
  const attached = start(['attach', dir]);
  const before = steps(dir);
  await until(() => steps(dir) > before);
  attached.child.kill('SIGINT');
  const left = await attached.end;
  assert.equal(left.code, 130);
  assert.match(left.text, /The run continues on box\. Follow it with: lora attach/);
  const stopped = await lora('stop', dir);
  assert.equal(stopped.code, 0, stopped.text);
  const end = await lora('attach', dir);
  assert.equal(recordOf(dir).state, 'stopped', end.text);
  assertEqualFolders(dir);
});

test('says that an engine was killed there, and goes on from its checkpoint', async () => {
  const [file, dir] = [recipe(200_000), newRun()];
  const run = start(['train', file, '--on', 'box', '--run-dir', dir]);
  await until(() => existsSync(there(dir, 'checkpoints/step-20')));
  assert.equal((await lora('stop', dir, '--kill')).code, 0);
  const { code, text } = await run.end;
  assert.equal(code, 1, text);
  assert.match(text, /The engine on box ended without a message/);
  const resumed = start(['train', '--resume', dir]);
  await until(() => metrics(path.join(dir, 'metrics.jsonl')).includes('"kind":"resume"'));
  assert.equal((await lora('stop', dir)).code, 0);
  assert.equal((await resumed.end).code, 130);
  assertEqualFolders(dir);
});

test('does not depend on the clock there', async () => {
  const clock = path.join(folder, 'clock.cjs');
  writeFileSync(
    clock,
    'const now = Date.now; Date.now = () => now() + 3_600_000;\n' +
      'const Real = Date; globalThis.Date = class extends Real { constructor(...a) { if (a.length) super(...a); else super(Real.now()); } };\n',
  );
  await server.down();
  const link = path.join(tmpdir(), `clock-${process.pid}.cjs`);
  writeFileSync(link, readFileSync(clock));
  await server.up([`SetEnv NODE_OPTIONS=--require=${link}`]);
  try {
    const [file, dir] = [recipe(20), newRun()];
    const began = Date.now();
    const { code, text } = await lora('train', file, '--on', 'box', '--run-dir', dir);
    assert.equal(code, 0, text);
    const { clock_ahead } = JSON.parse(readFileSync(path.join(dir, 'remote.json'), 'utf8'));
    assert.ok(Math.abs(clock_ahead - 3_600_000) < 5_000, String(clock_ahead));
    for (const key of ['started', 'ended']) {
      const time = Date.parse(recordOf(dir)[key]);
      assert.ok(time >= began - 5_000 && time <= Date.now() + 5_000, `${key} ${time}`);
    }
    assertEqualFolders(dir);
  } finally {
    rmSync(link);
    await server.down();
    await server.up();
  }
});

test('brings Node to a machine without it, or says why it cannot', async () => {
  const programs = mkdtempSync(path.join(tmpdir(), 'programs-'));
  await server.down();
  await server.up([`SetEnv PATH=${programs}`]);
  try {
    writeTargets({ root: path.join(folder, 'bare') });
    const { code, text } = await lora('targets', 'check', 'box');
    // files of the user's shell may put programs on the PATH nevertheless
    const words =
      code === 0 ? /Node: v22\.20\.0/ : /no Node 20 or newer, and (no Python|pip cannot)/;
    assert.match(text, words);
  } finally {
    writeTargets();
    rmSync(programs, { recursive: true });
    await server.down();
    await server.up();
  }
});

test('never takes half a file for a whole one', async () => {
  // a transfer that was broken off, with bytes that are not those of the file
  const [file, dir] = [recipe(20), newRun()];
  rmSync(path.join(remote, 'items'), { recursive: true });
  const run = start(['train', file, '--on', 'box', '--run-dir', dir]);
  await until(() => existsSync(path.join(remote, 'items')));
  run.child.kill('SIGKILL');
  await run.end;
  const resumed = await lora('train', file, '--on', 'box', '--run-dir', newRun());
  assert.equal(resumed.code, 0, resumed.text);
});

test('says that there is no room', { skip: process.getuid() !== 0 }, async (t) => {
  const small = path.join(folder, 'small');
  mkdirSync(small);
  const mounted = spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
  if (mounted.status !== 0) return t.skip('nothing can be mounted here');
  try {
    writeTargets({ root: small });
    const { code, text } = await lora('train', recipe(20), '--on', 'box', '--run-dir', newRun());
    assert.equal(code, 1);
    assert.match(text, /box has no room for the engine: it needs .* but only \d MB is free/);
  } finally {
    spawnSync('/bin/umount', [small]);
    writeTargets();
  }
});
