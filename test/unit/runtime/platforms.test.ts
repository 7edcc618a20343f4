import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { putBinding } from '../../../src/runtime/installed';
import { linkLibrary } from '../../../src/runtime/linkLibrary';
import { PLATFORM_PINS } from '../../../src/runtime/pins';
import { namedFolder } from '../../../src/runtime/sources';
import { makePlace, write, type Place } from '../../support/runtimePlace';

/** The names of the libraries that are taken from a named folder. */
async function namedLibraries(place: Place, platform: string, named: string) {
  const folder = path.join(place.root, 'filled');
  mkdirSync(folder);
  await namedFolder(PLATFORM_PINS[platform]!, named).fill(folder, place.options());
  return readdirSync(folder).sort();
}

describe('on Windows', () => {
  const ship = ({ runtime }: Place, bytes: string) => {
    const folder = path.join(runtime.dist, 'binding', 'win32-x64');
    write(path.join(folder, 'tfjs_binding.node'), bytes);
    write(path.join(folder, 'python311.dll'), 'stub');
  };

  it('a new binding has another name, since a loaded one cannot be replaced', async () => {
    const place = makePlace();
    const folder = path.join(place.root, 'runtime');
    mkdirSync(folder);
    const put = () => putBinding(folder, place.runtime.dist, 'win32-x64');
    ship(place, 'one');
    const first = await put();
    expect(path.basename(first)).toMatch(/^tfjs_binding-[0-9a-f]{8}\.node$/);
    expect(await put()).toBe(first);
    ship(place, 'two');
    const second = await put();
    expect(readFileSync(second, 'utf8')).toBe('two');
    expect(readdirSync(folder).sort()).toEqual(['python311.dll', path.basename(second)]);
  });

  it('libraries are hard links, which need no privilege', async () => {
    const { root } = makePlace();
    const [file, target] = [path.join(root, 'a.dll'), path.join(root, 'b.dll')];
    write(file, 'library');
    await linkLibrary(file, target, 'win32');
    expect(statSync(target).ino).toBe(statSync(file).ino);
  });

  it("a named TensorFlow is enough: the C++ library can be the system's", async () => {
    const place = makePlace();
    const named = path.join(place.root, 'site-packages', 'tensorflow');
    write(path.join(named, 'python', '_pywrap_tensorflow_internal.pyd'), 'library');
    expect(await namedLibraries(place, 'win32-x64', named)).toEqual([
      '_pywrap_tensorflow_internal.pyd',
    ]);
  });
});

describe('on Linux with an Arm processor', () => {
  it('the OpenMP library of a named TensorFlow is found beside it', async () => {
    const place = makePlace();
    const packages = path.join(place.root, 'site-packages');
    for (const [entry, name] of Object.entries(PLATFORM_PINS['linux-arm64']!.libraries))
      write(path.join(packages, entry), name);
    const named = path.join(packages, 'tensorflow');
    expect(await namedLibraries(place, 'linux-arm64', named)).toEqual([
      'libomp-6196b3b5.so.5',
      'libtensorflow_cc.so.2',
      'libtensorflow_framework.so.2',
    ]);
  });
});
