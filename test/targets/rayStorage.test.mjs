// npm run test:targets -- rayStorage: where a Ray cluster of this machine keeps runs and items: in
// a bucket, and in a folder that all nodes see.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { tsImport } from 'tsx/esm/api';
import { TestObjectStore } from './objectStore.mjs';
import {
  ADAPTER,
  cluster,
  contentOf,
  ended,
  folder,
  items,
  jobOf,
  losesItsNode,
  nodeOf,
  send,
  signal,
  startCluster,
  stopCluster,
  until,
  withTarget,
} from './rayJobs.mjs';

const { Bucket } = await tsImport('../../src/targets/s3/bucket.ts', import.meta.url);
const { BucketFiles } = await tsImport('../../src/targets/ray/bucketFiles.ts', import.meta.url);
let store;

before(async () => {
  store = await TestObjectStore.start();
  // two of them are lost
  await startCluster(3);
});
after(async () => {
  await stopCluster();
  store?.stop();
});

/** An entry whose storage is the bucket, and the environment that has its key. */
const inBucket = (change = {}) => ({
  values: {
    storage: 's3://bucket/some/runs',
    endpoint: store.address,
    env: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
    ...change,
  },
  env: { ...process.env, ...store.env },
});

test('says what keeps it from using a bucket', async () => {
  const checked = (change, env) => {
    const own = inBucket(change);
    const check = async (target) => (await target.check(signal)).missing.join();
    return withTarget(own.values, check, { ...own.env, ...env });
  };
  assert.equal(await checked({}), '');
  assert.match(await checked({ storage: 's3://another' }), /^There is no bucket another at /);
  assert.match(await checked({}, { AWS_ACCESS_KEY_ID: '' }), /AWS_ACCESS_KEY_ID is not set/);
  assert.match(await checked({ engine: 'ray-train' }), /"ray-train" cannot use/);
});

test('signs requests as a storage expects it', async () => {
  const checking = await TestObjectStore.start({ isChecking: true });
  try {
    const open = (env) =>
      Bucket.open({ url: 's3://bucket/some/runs', endpoint: checking.address, region: null }, env);
    const bucket = open(checking.env);
    await bucket.put('a/b', Buffer.from('content'), signal);
    assert.equal(String(await bucket.getRange('a/b', { offset: 2, maxBytes: 3 }, signal)), 'nte');
    await bucket.remove('a/b', signal);
    assert.equal(await bucket.get('a/b', 10, signal), null);
    for (const change of [{ AWS_SECRET_ACCESS_KEY: 'another' }, { AWS_ACCESS_KEY_ID: 'another' }])
      await assert.rejects(open({ ...checking.env, ...change }).get('a/b', 10, signal), {
        message: /does not accept the key in AWS_ACCESS_KEY_ID/,
      });
  } finally {
    checking.stop();
  }
});

test('refuses a job whose node has no key for the bucket', async () => {
  const { values, env } = inBucket({ env: [] });
  await withTarget(
    values,
    async (target) => {
      await send(target);
      const { reason } = await ended(target, await target.start(jobOf(), signal));
      assert.match(reason, /^The environment variable AWS_ACCESS_KEY_ID is not set/);
    },
    env,
  );
});

test('removes from its storage what no job uses', async () => {
  const storage = path.join(folder, 'cleaned');
  await withTarget({ storage }, async (target) => {
    await send(target);
    const usedBy = async () => {
      const { items: stored } = await target.usage(signal);
      return Object.fromEntries(stored.map((item) => [item.id, item.usedBy]));
    };
    const all = Object.values(items).map(({ id }) => id);
    assert.deepEqual(await usedBy(), Object.fromEntries(all.map((id) => [id, []])));
    const handle = await target.start(jobOf({ max_steps: 100_000 }), signal);
    // as soon as it is known, also before it has begun
    assert.deepEqual(await usedBy(), Object.fromEntries(all.map((id) => [id, [handle.job]])));
    assert.deepEqual(await target.clean(all, signal), []);
    await until(target, handle, ({ kind }) => kind === 'running');
    assert.deepEqual(await target.clean(all, signal), []);
    await target.remove(handle, signal);
    assert.deepEqual(readdirSync(path.join(storage, 'jobs')), []);
    assert.deepEqual((await target.clean(all, signal)).toSorted(), all.toSorted());
    // the file that placing items locks stays
    assert.deepEqual(readdirSync(path.join(storage, 'items')), ['.lock']);
  });
});

/** Where the key of the bucket can be read, but in the environment of processes. */
async function placesOfSecret() {
  const secret = store.env.AWS_SECRET_ACCESS_KEY;
  const folders = readdirSync(cluster.folder, { recursive: true })
    .filter((name) => /[\\/]lora-workbench[\\/]|[\\/]logs[\\/]lora-/.test(name))
    .map((name) => path.join(cluster.folder, name));
  const arguments_ = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => path.join('/proc', name, 'cmdline'));
  const files = [...folders, ...arguments_].filter((file) => contentOrNone(file).includes(secret));
  const objects = [];
  for (const key of await store.keys())
    if ((await store.ask('GET', `bucket/${key}`)).text.includes(secret)) objects.push(key);
  return [...files, ...objects];
}

function contentOrNone(file) {
  try {
    return readFileSync(file);
  } catch {
    return '';
  }
}

test('goes on from a bucket, to the same bytes, and is read from there without its node', async (t) => {
  const { values, env } = inBucket();
  const { storage: url, endpoint } = values;
  const files = new BucketFiles({ url, endpoint, region: null }, env);
  const isKept = async (handle) => {
    const kept = await files.list(handle, signal);
    if (!kept.some(({ path: name }) => name.startsWith('checkpoints/'))) return false;
    assert.deepEqual(await placesOfSecret(), []);
    return true;
  };
  const { handle, run } = await losesItsNode(t, values, { env, isKept });
  await withTarget(
    values,
    async (target) => {
      await nodeOf(handle.values.submission.slice('lora-'.length)).kill();
      // until the cluster knows that the node is gone, it does not answer
      let content = null;
      for (; content === null; await wait(500))
        content = await target
          .list(handle, signal)
          .then(() => contentOf(target, handle, ADAPTER))
          .catch(() => null);
      assert.deepEqual(content, readFileSync(path.join(run, ADAPTER)));
      const { jobs } = await target.usage(signal);
      assert.deepEqual(
        jobs.map(({ job, state }) => [job, state]),
        [[handle.job, 'ended']],
      );
      await target.remove(handle, signal);
      assert.deepEqual(await store.keys(), []);
    },
    env,
  );
});
