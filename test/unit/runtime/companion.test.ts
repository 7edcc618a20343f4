import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { forgetCompanions } from '../../../src/runtime/companion';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installFrom, installRuntime } from '../../../src/runtime/installRuntime';
import { PLATFORM_PINS, TENSORFLOW_VERSION } from '../../../src/runtime/pins';
import type { Source } from '../../../src/runtime/sources';
import { LIBRARIES, makeLibraries, makePlace, write, type Place } from '../../support/runtimePlace';

const contentOf = (name: string) => `library ${name} 2.18.1`;

/** A machine with a companion extension. */
function withCompanion(
  manifest: object = { platform: 'linux-x64', tensorflow: TENSORFLOW_VERSION },
) {
  const place = makePlace();
  const folder = path.join(place.root, 'extensions', 'runtime');
  write(path.join(folder, 'package.json'), JSON.stringify({ loraRuntime: manifest }));
  for (const name of LIBRARIES) write(path.join(folder, 'lib', name), contentOf(name));
  const sha256 = (name: string) => createHash('sha256').update(contentOf(name)).digest('hex');
  const library_sha256 = Object.fromEntries(LIBRARIES.map((name) => [name, sha256(name)]));
  const pin = { ...place.pin, library_sha256 };
  const probe = vi.fn(place.machine.probe);
  return {
    place,
    folder,
    probe,
    pin,
    machine: { ...place.machine, pin, probe },
    runtime: { ...place.runtime, companion: folder },
    library: (name: string = LIBRARIES[1]) => path.join(folder, 'lib', name),
  };
}

type Machine = ReturnType<typeof withCompanion>;

const find = ({ runtime, machine }: Machine, other: object = {}) =>
  findRuntime({ ...runtime, ...other }, machine);
const source = (name: Source['name'], id: string): Source => ({
  name,
  id,
  fill: (folder) => {
    makeLibraries(folder, 'library 2.18.1');
    return Promise.resolve('For a test.');
  },
});
const install = ({ runtime, machine, pin, place }: Machine, from: Source) =>
  installFrom({ source: from, pin, runtime, options: place.options(), machine });

describe('the companion extension', () => {
  it('is used where it lies, without pip or a copy', async () => {
    const own = withCompanion();
    const runtime = await find(own);
    expect(runtime).toMatchObject({
      source: 'companion',
      tensorflow_version: '2.18.1',
      why: `The extension LoRA Workbench Runtime has TensorFlow 2.18.1 in ${own.folder}, where it is used.`,
    });
    const { folder } = runtime as { folder: string };
    expect(realpathSync(path.join(folder, LIBRARIES[1]))).toBe(realpathSync(own.library()));
    expect(existsSync(path.join(own.folder, 'lib', 'tfjs_binding.node'))).toBe(false);
  });

  it('is checked once, and again if a library has changed', async () => {
    const own = withCompanion();
    await find(own);
    await find(own);
    expect(own.probe).toHaveBeenCalledTimes(1);
    writeFileSync(own.library(), contentOf(LIBRARIES[1]).replace('2.18.1', '2.18.2'));
    await expect(find(own)).rejects.toThrow('libtensorflow_framework.so.2 is damaged');
    writeFileSync(own.library(), contentOf(LIBRARIES[1]));
    expect(await find(own)).toMatchObject({ source: 'companion' });
    expect(own.probe).toHaveBeenCalledTimes(2);
  });

  it('is refused by the name of a library that is not the pinned one, before it is loaded', async () => {
    const own = withCompanion();
    await install(own, source('wheel', 'tensorflow-2.18.1'));
    own.probe.mockClear();
    writeFileSync(own.library(), 'library 2.18.1, but another');
    await expect(find(own)).rejects.toMatchObject({
      area: 'runtime',
      message: expect.stringContaining(
        `${realpathSync(own.library())} is damaged or not the expected file: it has sha256 `,
      ) as string,
      fix: 'Install lora-workbench-runtime-linux-x64.vsix of the same release as LoRA Workbench, or uninstall LoRA Workbench Runtime.',
    });
    expect(own.probe).not.toHaveBeenCalled();
  });

  it('is refused if a library has no pin', async () => {
    const own = withCompanion();
    const machine = { ...own.machine, pin: { ...own.pin, library_sha256: {} } };
    await expect(findRuntime(own.runtime, machine)).rejects.toThrow('expected none');
  });

  it.each([
    [
      'another platform',
      { platform: 'win32-x64', tensorflow: TENSORFLOW_VERSION },
      / is for win32-x64, but this is linux-x64\.$/,
    ],
    [
      'another version',
      { platform: 'linux-x64', tensorflow: '2.17.0' },
      / has TensorFlow 2\.17\.0, but this version of LoRA Workbench needs 2\.18\.1\.$/,
    ],
    ['something else', {}, /package\.json is not that of the extension LoRA Workbench Runtime\.$/],
  ] as const)('is refused with a sentence if it is for %s', async (_, manifest, message) => {
    const own = withCompanion(manifest);
    await expect(find(own)).rejects.toThrow(message);
    await expect(installRuntime(own.runtime, own.place.options(), own.machine)).rejects.toThrow(
      message,
    );
  });

  it('is refused if a library is missing', async () => {
    const own = withCompanion();
    rmSync(own.library());
    await expect(find(own)).rejects.toThrow(`${own.library()} is missing.`);
  });

  it('comes before what was installed, after CUDA and the setting', async () => {
    const own = withCompanion();
    for (const name of ['python', 'mirror', 'wheel'] as const)
      await install(own, source(name, name));
    expect(await find(own)).toMatchObject({ source: 'companion' });
    const named = makeLibraries(path.join(own.place.root, 'mine'));
    expect(await find(own, { path: named })).toMatchObject({ source: 'setting' });
    await install(own, source('cuda', 'cuda'));
    expect(await find(own)).toMatchObject({ source: 'cuda' });
    expect(await find(own, { companion: null })).toMatchObject({ source: 'cuda' });
  });

  it('is what an installation checks again, without a mirror or pip', async () => {
    const own = withCompanion();
    own.place.python({ pip: 'fails' });
    const runtime = { ...own.runtime, url: 'http://127.0.0.1:1/' };
    expect(await installRuntime(runtime, own.place.options(), own.machine)).toMatchObject({
      source: 'companion',
    });
  });

  it('is not used any more, and nothing is kept of it, when it is uninstalled', async () => {
    const own = withCompanion();
    await find(own);
    expect(await find(own, { companion: null })).toBeNull();
    await forgetCompanions(own.runtime.home, own.folder);
    expect(own.place.inHome()).toHaveLength(1);
    await forgetCompanions(own.runtime.home, null);
    expect(own.place.inHome()).toEqual([]);
    expect(existsSync(own.library())).toBe(true);
  });

  it('is checked again in another folder', async () => {
    const own = withCompanion();
    await find(own);
    const companion = `${own.folder}-2`;
    cpSync(own.folder, companion, { recursive: true });
    write(path.join(companion, 'lib', LIBRARIES[0]), 'library 2.18.1');
    await expect(find(own, { companion })).rejects.toThrow(
      /-2.*libtensorflow_cc\.so\.2 is damaged/,
    );
  });
});

it('the pins name every library of each platform', () => {
  for (const { libraries, library_sha256 = {} } of Object.values(PLATFORM_PINS)) {
    expect(Object.keys(library_sha256).sort()).toEqual(Object.values(libraries).sort());
    for (const sha256 of Object.values(library_sha256)) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  }
});

it('a folder that lacks what others have made is described by what it has', async () => {
  const place: Place = makePlace();
  const libraries = { ...place.pin.libraries, 'tensorflow.libs/libomp.so.5': 'libomp.so.5' };
  const named = makeLibraries(path.join(place.root, 'mine'));
  const machine = { ...place.machine, pin: { ...place.pin, libraries } };
  expect(await findRuntime({ ...place.runtime, path: named }, machine)).toMatchObject({
    source: 'setting',
  });
  expect(readFileSync(path.join(named, LIBRARIES[0]), 'utf8')).toBe('library 2.16.2');
});
