import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireSpaceForRuntime } from '../../../src/runtime/installFolder';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { sourcesFor } from '../../../src/runtime/sources';
import { LIBRARIES, makeLibraries, makePlace, write, type Place } from '../../support/runtimePlace';

const install = (place: Place, signal?: AbortSignal) =>
  installRuntime(place.runtime, place.options(signal), place.machine);
const find = (place: Place) => findRuntime(place.runtime, place.machine);
const nothingInstalled = async (place: Place) => {
  expect(await find(place)).toBeNull();
  expect(place.inHome()).toEqual([]);
};

describe('the order of sources', () => {
  it('is a local Python, then the pinned wheel', () => {
    const { pin, runtime, env } = makePlace();
    expect(sourcesFor(pin, runtime, env).map(({ name }) => name)).toEqual(['python', 'wheel']);
  });

  it('prefers the TensorFlow of a local Python and uses it in place', async () => {
    const place = makePlace();
    const tensorflow = makeLibraries(path.join(place.root, 'site-packages', 'tensorflow'));
    place.python({ tensorflow, pip: 'wheel' });
    const runtime = await install(place);
    const folder = path.join(place.runtime.home, 'python-linux-x64');
    expect(runtime).toEqual({
      kind: 'tensorflow',
      source: 'python',
      folder,
      binding: path.join(folder, 'tfjs_binding.node'),
      tensorflow_version: '2.16.2',
      device: 'cpu',
      bf16: 'fast',
      why: `The TensorFlow that python3 has in ${tensorflow} is used where it is.`,
    });
    expect(readlinkSync(path.join(folder, LIBRARIES[0]))).toBe(path.join(tensorflow, LIBRARIES[0]));
    expect(await find(place)).toEqual(runtime);
  });

  it('looks for TensorFlow in every Python on the PATH', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    place.python({ tensorflow: makeLibraries(path.join(place.root, 'conda')) }, 'python');
    expect(await install(place)).toMatchObject({
      source: 'python',
      why: expect.stringContaining('that python has') as string,
    });
  });

  it('falls back to the wheel if the local TensorFlow does not load, and logs why', async () => {
    const place = makePlace();
    place.python({
      tensorflow: makeLibraries(path.join(place.root, 'old'), 'broken'),
      pip: 'wheel',
    });
    expect(await install(place)).toMatchObject({ source: 'wheel', tensorflow_version: '2.18.1' });
    expect(place.log.join('\n')).toMatch(
      /^python: libtensorflow in .* does not work: invalid ELF header$/m,
    );
    expect(place.inHome()).toEqual(['tensorflow-2.18.1-linux-x64']);
  });

  it('falls back if the local TensorFlow is too old', async () => {
    const place = makePlace();
    place.python({
      tensorflow: makeLibraries(path.join(place.root, 'old'), 'library', [LIBRARIES[1]]),
      pip: 'wheel',
    });
    expect(await install(place)).toMatchObject({ source: 'wheel' });
  });

  it('reports that a platform without libtensorflow uses WebAssembly', async () => {
    const place = makePlace();
    const runtime = await installRuntime(place.runtime, place.options(), {
      ...place.machine,
      platform: 'win32-arm64',
      pin: undefined,
    });
    expect(runtime).toEqual({
      kind: 'wasm',
      source: 'wasm',
      why: 'WebAssembly, which needs no installation but trains at least 10 times slower than libtensorflow, because there is no libtensorflow for win32-arm64. Open the folder in WSL (WSL: Reopen Folder in WSL), which has one.',
    });
  });
});

describe('the pinned wheel', () => {
  it("is downloaded for this platform with the user's pip settings, independent of the Python version", async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    await install(place);
    const { args } = place.pythonCalls().find((call) => call.args[2] === 'download')!;
    expect(args.slice(0, 4)).toEqual(['-m', 'pip', 'download', '--no-deps']);
    expect(args.join(' ')).toContain(
      '--only-binary=:all: --platform manylinux2014_x86_64 --python-version 311 --implementation cp',
    );
    expect(args.at(-1)).toBe('tensorflow-cpu==2.18.1');
    expect(args.join(' ')).not.toMatch(/index-url|isolated/);
  });

  it('is downloaded outside the workspace, so that Python does not import its modules', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    await install(place);
    for (const { cwd } of place.pythonCalls())
      expect(cwd.startsWith(path.join(place.runtime.home, '.install-'))).toBe(true);
  });

  it('installs only the libraries, the binding and the manifest', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const runtime = await install(place);
    if (runtime.kind !== 'tensorflow') throw new Error('no libtensorflow');
    expect(place.inHome()).toEqual(['tensorflow-2.18.1-linux-x64']);
    expect(readdirSync(runtime.folder).sort()).toEqual([
      ...LIBRARIES,
      'runtime.json',
      'tfjs_binding.node',
    ]);
    const manifest = JSON.parse(
      readFileSync(path.join(runtime.folder, 'runtime.json'), 'utf8'),
    ) as { files: { name: string; size: number; sha256: string }[] };
    expect(manifest.files).toMatchObject([
      { name: LIBRARIES[0], size: 36 },
      { name: LIBRARIES[1], size: 43 },
    ]);
    expect(manifest.files[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(runtime.binding, 'utf8')).toBe('the binding');
  });

  it.each(['truncated', 'corrupted'] as const)('is rejected by its SHA-256 if %s', async (pip) => {
    const place = makePlace();
    place.python({ pip });
    await expect(install(place)).rejects.toMatchObject({
      area: 'runtime',
      message: expect.stringContaining(
        `expected ${place.pin.wheels[0].wheel_size} bytes with ${place.pin.wheels[0].sha256}`,
      ) as string,
      fix: expect.stringContaining('Nothing was installed.') as string,
    });
    await nothingInstalled(place);
  });

  it('ends the installation with that message alone if it is another file', async () => {
    const place = makePlace();
    place.python({
      tensorflow: makeLibraries(path.join(place.root, 'old'), 'broken'),
      pip: 'corrupted',
    });
    await expect(install(place)).rejects.toThrow(/^tensorflow_cpu-2.18.1.* is damaged or not/);
    await nothingInstalled(place);
  });

  it('is named in the error if pip downloads nothing', async () => {
    const place = makePlace();
    place.python({ pip: 'empty' });
    await expect(install(place)).rejects.toThrow('pip brought no wheel of tensorflow-cpu 2.18.1.');
    await nothingInstalled(place);
  });

  it('is reused from the wheels folder only if it is complete', async () => {
    const place = makePlace();
    const wheels = path.join(place.runtime.home, 'wheels');
    write(path.join(wheels, 'a.whl'), Buffer.alloc(place.pin.wheels[0].wheel_size));
    await expect(install(place)).rejects.toThrow('No Python with pip');
    expect(place.log.join('\n')).toContain('is not the pinned wheel');
    write(path.join(wheels, 'b.whl'), readFileSync(path.join(place.root, 'pinned.whl')));
    expect(await install(place)).toMatchObject({ source: 'wheel' });
  });

  it('replaces a runtime whose library has changed', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const { folder } = (await install(place)) as { folder: string };
    write(path.join(folder, LIBRARIES[0]), 'spoilt');
    expect(await find(place)).toBeNull();
    await install(place);
    expect(readFileSync(path.join(folder, LIBRARIES[0]), 'utf8')).toBe(
      'library libtensorflow_cc.so.2 2.18.1',
    );
    expect(place.inHome()).toEqual(['tensorflow-2.18.1-linux-x64']);
  });
});

describe('error messages', () => {
  it('give the reason for each source and what to do if none works', async () => {
    const place = makePlace();
    place.python({ pip: 'fails' });
    const error = await install(place).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      area: 'runtime',
      fix: expect.stringContaining("Check the network and pip's configuration") as string,
    });
    const { message } = error as Error;
    expect(message).toContain('No matching distribution found for tensorflow-cpu==2.18.1');
  });

  it('report a missing Python', async () => {
    const place = makePlace();
    await expect(install(place)).rejects.toMatchObject({
      message: expect.stringContaining('No Python with pip was found') as string,
      fix: expect.stringContaining('Install Python 3 with pip') as string,
    });
  });

  it('report a Python without pip', async () => {
    const place = makePlace();
    place.python({});
    await expect(install(place)).rejects.toThrow('No Python with pip was found');
  });

  it('stop at a full disk instead of trying the next source', async () => {
    const place = makePlace();
    place.python({ pip: 'disk full' });
    await expect(install(place)).rejects.toMatchObject({
      area: 'disk',
      message: `The disk of ${place.runtime.home} is full: the runtime was not installed.`,
    });
    await nothingInstalled(place);
  });

  it('report missing disk space before downloading', async () => {
    const place = makePlace();
    mkdirSync(place.runtime.home);
    await expect(requireSpaceForRuntime(place.runtime.home, 2 ** 60)).rejects.toThrow(
      /needs 1152921504\.6 GB on the disk of .*; \d+\.\d GB are free/,
    );
  });

  it('report a build without a binding', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const dist = path.join(place.root, 'empty');
    await expect(
      installRuntime({ ...place.runtime, dist }, place.options(), place.machine),
    ).rejects.toThrow('This build has no binding for linux-x64.');
  });
});
