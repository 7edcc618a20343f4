import {
  appendFileSync,
  chmodSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installFrom } from '../../../src/runtime/installRuntime';
import { processorName } from '../../../src/runtime/processor';
import type { Source } from '../../../src/runtime/sources';
import { LIBRARIES, makeLibraries, makePlace, write, type Place } from '../../support/runtimePlace';

const find = (place: Place, named?: string) =>
  findRuntime({ ...place.runtime, path: named ?? null }, place.machine);
const source = (name: Source['name'], id: string, version = '2.18.1'): Source => ({
  name,
  id,
  fill: (folder) => {
    makeLibraries(folder, `library ${version}`);
    return Promise.resolve('For a test.');
  },
});
const install = ({ pin, runtime, options, machine }: Place, from: Source) =>
  installFrom({ source: from, pin, runtime, options: options(), machine });

describe('the installed runtime', () => {
  it('is null without an installation', async () => {
    expect(await find(makePlace())).toBeNull();
  });

  it('prefers the local Python to the wheel, in any order of installation', async () => {
    const place = makePlace();
    const found: unknown[] = [];
    for (const from of [source('wheel', 'tensorflow-2.18.1'), source('python', 'python')]) {
      await install(place, from);
      found.push((await find(place))?.source);
    }
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    found.push((await find(place))?.source);
    expect(found).toEqual(['wheel', 'python', 'python']);
  });

  it('prefers the newer of two wheels', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.9.3', '2.9.3'));
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    expect(await find(place)).toMatchObject({ tensorflow_version: '2.18.1' });
  });

  it('ignores a runtime whose library has changed', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    appendFileSync(path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64', LIBRARIES[1]), 'x');
    expect(await find(place)).toBeNull();
  });

  it('ignores a runtime whose library has changed at the same size and time', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    const file = path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64', LIBRARIES[1]);
    const { mtime, atime } = statSync(file);
    writeFileSync(file, readFileSync(file, 'utf8').replace('library', 'librarz'));
    utimesSync(file, atime, mtime);
    expect(await find(place)).toBeNull();
  });

  it('keeps a runtime whose library was touched but is the same', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    const folder = path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64');
    const before = readFileSync(path.join(folder, 'runtime.json'), 'utf8');
    await setTimeout(10);
    chmodSync(path.join(folder, LIBRARIES[1]), 0o600);
    expect(await find(place)).toMatchObject({ source: 'wheel' });
    expect(readFileSync(path.join(folder, 'runtime.json'), 'utf8')).not.toBe(before);
  });

  it("ignores tfjs-node's libtensorflow of an earlier version, which was not pinned", async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    const manifest = path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64', 'runtime.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"wheel"', '"tfjs-node"'));
    expect(await find(place)).toBeNull();
  });

  it.each([
    '',
    '{',
    '{"source":"wheel"}',
    JSON.stringify({ source: 'wheel', tensorflow_version: '2', device: 'cpu', why: '', files: [] }),
  ])('ignores a runtime with the manifest %j', async (manifest) => {
    const place = makePlace();
    const folder = path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64');
    makeLibraries(folder);
    write(path.join(folder, 'runtime.json'), manifest);
    expect(await find(place)).toBeNull();
  });

  it("ignores another platform's runtime in a shared home", async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    renameSync(
      path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64'),
      path.join(place.runtime.home, 'tensorflow-2.18.1-linux-arm64'),
    );
    expect(await find(place)).toBeNull();
  });

  it('is null on a platform without libtensorflow, and the reason for WebAssembly is given', async () => {
    const place = makePlace();
    expect(
      await findRuntime(place.runtime, {
        ...place.machine,
        platform: 'alpine-x64',
        pin: undefined,
      }),
    ).toMatchObject({
      kind: 'wasm',
      why: expect.stringContaining('no libtensorflow for alpine-x64') as string,
    });
  });

  it('finds out once on each processor what products of bf16 are', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    const manifest = path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64', 'runtime.json');
    const kept = JSON.parse(readFileSync(manifest, 'utf8')) as {
      bf16_products: object;
    };
    writeFileSync(manifest, JSON.stringify({ ...kept, bf16_products: { 'Another CPU': 'fast' } }));
    const probe = vi.fn(() =>
      Promise.resolve({ tensorflow_version: '', device: 'cpu' as const, bf16: 'slow' as const }),
    );
    const look = () => findRuntime(place.runtime, { ...place.machine, probe });
    const found = [await look(), await look()];
    expect(found).toMatchObject([{ bf16: 'slow' }, { bf16: 'slow' }]);
    expect(probe).toHaveBeenCalledTimes(1);
    expect(JSON.parse(readFileSync(manifest, 'utf8'))).toMatchObject({
      bf16_products: { 'Another CPU': 'fast', ...kept.bf16_products, [processorName()]: 'slow' },
    });
  });

  it('gets the binding of this build', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    write(
      path.join(place.runtime.dist, 'binding', 'linux-x64', 'tfjs_binding.node'),
      'a newer binding',
    );
    const runtime = await find(place);
    expect(runtime?.kind === 'tensorflow' && readFileSync(runtime.binding, 'utf8')).toBe(
      'a newer binding',
    );
  });
});

describe('the setting lora.runtime.path', () => {
  it('takes precedence over installed runtimes', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    const named = makeLibraries(path.join(place.root, 'mine'));
    expect(await find(place, named)).toMatchObject({
      source: 'setting',
      tensorflow_version: '2.16.2',
      why: `The setting lora.runtime.path names ${named}.`,
    });
  });

  it('does not change the folder', async () => {
    const place = makePlace();
    const named = makeLibraries(path.join(place.root, 'mine'));
    await find(place, named);
    expect(readdirSync(named).sort()).toEqual([...LIBRARIES].sort());
  });

  it('accepts a release of libtensorflow for C', async () => {
    const place = makePlace();
    const named = path.join(place.root, 'release');
    makeLibraries(named, 'library 2.17.0', [
      'lib/libtensorflow.so.2',
      'lib/libtensorflow_framework.so.2',
      'include/c_api.h',
    ]);
    expect(await find(place, named)).toMatchObject({ tensorflow_version: '2.17.0' });
  });

  it('verifies the folder once, and again if its libraries change', async () => {
    const place = makePlace();
    const probe = vi.fn(place.machine.probe);
    const named = makeLibraries(path.join(place.root, 'mine'));
    const look = () => findRuntime({ ...place.runtime, path: named }, { ...place.machine, probe });
    await look();
    await look();
    expect(probe).toHaveBeenCalledTimes(1);
    makeLibraries(named, 'library of another version 2.19.0');
    expect(await look()).toMatchObject({ tensorflow_version: '2.19.0' });
    expect(probe).toHaveBeenCalledTimes(2);
  });

  it('has no effect after it is cleared', async () => {
    const place = makePlace();
    await find(place, makeLibraries(path.join(place.root, 'mine')));
    expect(await find(place)).toBeNull();
  });

  it('reports what is missing in the folder', async () => {
    const place = makePlace();
    const named = path.join(place.root, 'nowhere');
    await expect(find(place, named)).rejects.toMatchObject({
      area: 'runtime',
      place: { file: named },
      fix: expect.stringContaining('or clear the setting') as string,
      message:
        'The folder in the setting lora.runtime.path cannot be used: it does not contain libtensorflow_cc.so.2 and libtensorflow_framework.so.2.',
    });
  });

  it('reports libraries that do not load and does not fall back silently', async () => {
    const place = makePlace();
    await install(place, source('wheel', 'tensorflow-2.18.1'));
    await expect(
      find(place, makeLibraries(path.join(place.root, 'mine'), 'broken')),
    ).rejects.toThrow(/cannot be used: .*invalid ELF header/);
    expect(await find(place)).toMatchObject({ source: 'wheel' });
  });
});
