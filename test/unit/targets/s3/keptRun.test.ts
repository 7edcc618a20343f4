import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Bucket } from '../../../../src/targets/s3/bucket';
import { KeptRun } from '../../../../src/targets/s3/keptRun';
import { checkedManifest, GROWING_PART_BYTES } from '../../../../src/targets/s3/manifest';
import { RunKeeper } from '../../../../src/targets/s3/runKeeper';
import { failing, startObjectStore } from '../../../support/objectStore';

const { signal } = new AbortController();
const KEY = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' };
const JOB = '20260131-142501-7f3a';

function newRun() {
  const run = mkdtempSync(path.join(tmpdir(), 'kept-'));
  const write = (name: string, content: string | Buffer) => {
    mkdirSync(path.dirname(path.join(run, name)), { recursive: true });
    // as the engine does
    writeFileSync(path.join(run, `.${path.basename(name)}.tmp`), content);
    renameSync(path.join(run, `.${path.basename(name)}.tmp`), path.join(run, name));
  };
  return { run, write };
}

async function newKept(job = JOB) {
  const store = await startObjectStore();
  const settings = { url: 's3://bucket/runs', endpoint: store.address, region: null };
  return { store, kept: new KeptRun(Bucket.open(settings, KEY, [0]), job) };
}

/** A clock that always says that enough time has passed. */
function hurried(): () => number {
  let now = 0;
  return () => (now += 60_000);
}

const keeperOf = (kept: KeptRun, run: string, attempt = 1) =>
  new RunKeeper(kept, { run, root: '/there', attempt }, hurried());

async function restored(kept: KeptRun) {
  const latest = await kept.latest(signal);
  const folder = mkdtempSync(path.join(tmpdir(), 'restored-'));
  await kept.restore(latest!, folder, signal);
  const names = readdirSync(folder, { recursive: true }) as string[];
  return { folder, latest, names: names.map((name) => name.replaceAll(path.sep, '/')).sort() };
}

describe('a run that is kept in a bucket', () => {
  it('comes back as it was, without what is of its process', async () => {
    const { kept } = await newKept();
    const { run, write } = newRun();
    write('run.json', '{}');
    write('engine.json', 'of the process');
    write('engine.log', 'of the job');
    write('metrics.jsonl', '{"step":1}\n');
    write('checkpoints/step-20/state.json', '{"step":20}');
    write('empty', '');
    writeFileSync(path.join(run, '.owner.1.lock'), '');
    mkdirSync(path.join(run, 'best.77.tmp'));
    writeFileSync(path.join(run, 'best.77.tmp', 'half'), 'half');
    symlinkSync('/etc/passwd', path.join(run, 'link'));
    await keeperOf(kept, run).keep(signal);
    const { folder, names, latest } = await restored(kept);
    expect(names).toEqual([
      'checkpoints',
      'checkpoints/step-20',
      'checkpoints/step-20/state.json',
      'empty',
      'metrics.jsonl',
      'run.json',
    ]);
    expect(readFileSync(path.join(folder, 'metrics.jsonl'), 'utf8')).toBe('{"step":1}\n');
    expect(latest!.manifest.root).toBe('/there');
  });

  it('is read in parts, whose bounds are not seen', async () => {
    const { kept } = await newKept();
    const { run, write } = newRun();
    const lines = Buffer.alloc(2.5 * GROWING_PART_BYTES, 'abcdefg\n');
    write('metrics.jsonl', lines);
    await keeperOf(kept, run).keep(signal);
    const { attempt, manifest } = (await kept.latest(signal))!;
    const [file] = manifest.files;
    expect(file!.parts.map(({ size }) => size / GROWING_PART_BYTES)).toEqual([1, 1, 0.5]);
    for (const offset of [0, GROWING_PART_BYTES - 3, lines.length - 5, lines.length, 1e9]) {
      const range = { offset, maxBytes: GROWING_PART_BYTES + 7 };
      const content = await kept.read(attempt, file!, range, signal);
      expect(content.equals(lines.subarray(offset, offset + range.maxBytes))).toBe(true);
    }
  });

  it('costs what is new only, and leaves nothing that no file has', async () => {
    const { store, kept } = await newKept();
    const { run, write } = newRun();
    write('metrics.jsonl', Buffer.alloc(GROWING_PART_BYTES + 10, 'x'));
    write('adapter/weights', 'first');
    const keeper = keeperOf(kept, run);
    await keeper.keep(signal);
    const puts = () => store.asked.splice(0).filter((line) => line.startsWith('PUT')).length;
    expect(puts()).toBe(4);
    await keeper.keep(signal);
    expect(puts()).toBe(0);
    appendFileSync(path.join(run, 'metrics.jsonl'), 'new');
    await keeper.keep(signal);
    expect(puts()).toBe(2);
    write('adapter/weights', 'second');
    await keeper.keep(signal);
    expect(puts()).toBe(2);
    expect(
      [...store.objects.values()].filter((content) => content.equals(Buffer.from('first'))),
    ).toEqual([]);
    // the list, two parts of the metrics, the weights
    expect(store.objects.size).toBe(4);
  });

  it('is read again from its beginning when what was kept of it has changed', async () => {
    const { kept } = await newKept();
    const { run } = newRun();
    const file = path.join(run, 'metrics.jsonl');
    writeFileSync(file, 'one\ntwo\ntorn');
    const keeper = keeperOf(kept, run);
    await keeper.keep(signal);
    writeFileSync(file, 'one\ntwo\nthree\n');
    await keeper.keep(signal);
    const { folder } = await restored(kept);
    expect(readFileSync(path.join(folder, 'metrics.jsonl'), 'utf8')).toBe('one\ntwo\nthree\n');
  });

  it('goes on in a place of its own when another job continues it', async () => {
    const { store, kept } = await newKept();
    const { run, write } = newRun();
    write('run.json', 'first');
    const lost = keeperOf(kept, run);
    await lost.keep(signal);
    const second = newRun();
    second.write('run.json', 'second');
    await keeperOf(kept, second.run, 2).keep(signal);
    expect([...store.objects.keys()].every((key) => key.includes('/0002/'))).toBe(true);
    // the first was not lost after all
    write('run.json', 'a ghost');
    await lost.keep(signal);
    const { folder, latest } = await restored(kept);
    expect(latest!.attempt).toBe(2);
    expect(readFileSync(path.join(folder, 'run.json'), 'utf8')).toBe('second');
  });

  it('is not taken for kept at its end while its files still change', async () => {
    const { store, kept } = await newKept();
    const { run, write } = newRun();
    write('run.json', '{');
    for (let i = 1; i <= 10; i++)
      store.faults.push((_, response) => {
        write('run.json', 'x'.repeat(i));
        response.writeHead(200).end();
      });
    await expect(keeperOf(kept, run).keep(signal, true)).rejects.toThrow('still change');
  });

  it('gives each job a place of its own, also before the job before has kept anything', async () => {
    const { store, kept } = await newKept();
    expect([await kept.reserve(signal), await kept.reserve(signal)]).toEqual([1, 2]);
    expect(await kept.latest(signal)).toBeNull();
    const { run, write } = newRun();
    write('run.json', 'content');
    await keeperOf(kept, run, 2).keep(signal);
    // the list and the part
    expect(store.objects.size).toBe(2);
  });

  it('stays as it was when storing breaks off', async () => {
    const { store, kept } = await newKept();
    const { run, write } = newRun();
    write('run.json', 'first');
    const keeper = keeperOf(kept, run);
    await keeper.keep(signal);
    write('run.json', 'second');
    store.faults.push(failing(403, 'AccessDenied'));
    await expect(keeper.keep(signal)).rejects.toThrow('refuses access');
    expect(readFileSync(path.join((await restored(kept)).folder, 'run.json'), 'utf8')).toBe(
      'first',
    );
    await keeper.keep(signal);
    expect(readFileSync(path.join((await restored(kept)).folder, 'run.json'), 'utf8')).toBe(
      'second',
    );
  });

  it('is refused where a part is another one', async () => {
    const { store, kept } = await newKept();
    const { run, write } = newRun();
    write('run.json', 'content');
    await keeperOf(kept, run).keep(signal);
    const part = [...store.objects.keys()].find((key) => key.includes('/parts/'))!;
    store.objects.set(part, Buffer.from('changed'));
    await expect(restored(kept)).rejects.toThrow('has not what was kept of the run');
    rmSync(run, { recursive: true });
  });
});

describe('a list of files from a bucket', () => {
  const file = { path: 'run.json', size: 3, version: '1', sha256: null };
  const part = { sha256: 'a'.repeat(64), size: 3 };
  const listed = (change: object) =>
    Buffer.from(
      JSON.stringify({ version: 1, root: '/', files: [{ ...file, parts: [part], ...change }] }),
    );

  it('is checked', () => {
    expect(checkedManifest(listed({})).files).toHaveLength(1);
    for (const change of [
      { path: '../run.json' },
      { path: '/etc/passwd' },
      { size: 4 },
      { parts: [{ ...part, size: 0 }] },
      { parts: [{ ...part, sha256: '../a' }] },
      { sha256: 'short' },
    ])
      expect(() => checkedManifest(listed(change))).toThrow(/is not valid/);
    expect(() => checkedManifest(Buffer.from('{'))).toThrow(/is not valid/);
  });
});
