// npm run test:targets -- ray: a target that is a Ray cluster of four nodes on this machine.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  ADAPTER,
  cluster,
  contentOf,
  ended,
  entry,
  folder,
  items,
  jobOf,
  losesItsNode,
  send,
  signal,
  startCluster,
  STEPS,
  stepsIn,
  stopCluster,
  trainHere,
  until,
  withTarget,
} from './rayJobs.mjs';
import { testContract } from './testContract.mjs';

// two of them are lost
before(() => startCluster(3));
after(stopCluster);

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

test('goes on from its storage when the node is lost, to the same bytes', (t) =>
  losesItsNode(t, { storage: path.join(folder, 'storage') }));

test('goes on from the checkpoint that the cluster kept, to the same bytes', (t) =>
  // the head keeps one a second
  losesItsNode(t, { storage: null }, { least: 400 }));
