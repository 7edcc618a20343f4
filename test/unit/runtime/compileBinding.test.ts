import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildRuntime } from '../../../src/runtime/compileBinding';
import { makePlace, write, type Place } from '../../support/runtimePlace';

/**
 * A checkout with sources, a Python with pip, and a stand-in for the compiler that writes its
 * arguments as its output.
 */
function makeCheckout(compiler = 'writeFileSync(args.at(-1), args.join("\\n"))') {
  const place = makePlace();
  place.python({ pip: 'wheel' });
  const sources = {
    binding: path.join(place.root, 'binding'),
    kernels: path.join(place.root, 'kernels'),
    nodeApi: path.join(place.root, 'node-api'),
  };
  write(path.join(sources.binding, 'a.cc'), 'one');
  write(path.join(sources.kernels, 'k.cc'), 'one');
  write(path.join(sources.kernels, 'rows.h'), 'one');
  write(path.join(sources.nodeApi, 'node_api.h'), 'header');
  place.env['CXX'] = path.join(place.root, 'c++');
  const calls = path.join(place.root, 'compiled');
  writeFileSync(
    place.env['CXX'],
    `#!${process.execPath}
const { appendFileSync, writeFileSync } = require('node:fs');
const args = process.argv.slice(2);
if (args[0] === '--version') process.exit();
appendFileSync(${JSON.stringify(calls)}, 'x');
${compiler}`,
    { mode: 0o755 },
  );
  return {
    place,
    sources,
    compiled: () => (existsSync(calls) ? readFileSync(calls, 'utf8').length : 0),
  };
}

const build = (place: Place, sources: Parameters<typeof buildRuntime>[1]) =>
  buildRuntime(place.runtime, sources, place.options(), place.machine);
const changeRecord = (kept: string, change: object) => {
  const record = JSON.parse(readFileSync(`${kept}.json`, 'utf8')) as object;
  writeFileSync(`${kept}.json`, JSON.stringify({ ...record, ...change }));
};
const shipped = (place: Place) =>
  readFileSync(path.join(place.runtime.dist, 'binding', 'linux-x64', 'tfjs_binding.node'), 'utf8');

describe('a build from source', () => {
  it('compiles the binding against the wheel and installs the runtime with one download', async () => {
    const { place, sources } = makeCheckout();
    expect(await build(place, sources)).toMatchObject({
      source: 'wheel',
      tensorflow_version: '2.18.1',
    });
    const args = shipped(place).split('\n');
    expect(args).toEqual(
      expect.arrayContaining([
        '-shared',
        '-DNAPI_VERSION=8',
        path.join(sources.binding, 'a.cc'),
        path.join(sources.kernels, 'k.cc'),
        `-I${sources.nodeApi}`,
      ]),
    );
    expect(args.join(' ')).toMatch(/rpath,(\$ORIGIN|@loader_path)/);
    expect(place.pythonCalls().filter((call) => call.args[2] === 'download')).toHaveLength(1);
    expect(place.inHome()).toEqual(['bindings', 'tensorflow-2.18.1-linux-x64', 'wheels']);
  });

  it('recompiles only if a source has changed', async () => {
    const { place, sources, compiled } = makeCheckout();
    await build(place, sources);
    await build(place, sources);
    expect(compiled()).toBe(1);
    write(path.join(sources.binding, 'a.cc'), 'two');
    await build(place, sources);
    expect(compiled()).toBe(2);
    write(path.join(sources.kernels, 'rows.h'), 'two');
    await build(place, sources);
    expect(compiled()).toBe(3);
  });

  it.each<readonly [string, (kept: string) => void]>([
    ['has other bytes', (kept) => writeFileSync(kept, 'planted')],
    ['has no record', (kept) => rmSync(`${kept}.json`)],
    ['has the record of another file', (kept) => changeRecord(kept, { sha256: '0'.repeat(64) })],
    ['has the record of other sources', (kept) => changeRecord(kept, { sources: '0'.repeat(64) })],
    ['has another compiler', (kept) => changeRecord(kept, { compiler: 'other 1.0' })],
    [
      'is a link',
      (kept) => {
        renameSync(kept, `${kept}.moved`);
        symlinkSync(`${kept}.moved`, kept);
      },
    ],
  ])('compiles again, and says so, if the kept binding %s', async (_, change) => {
    const { place, sources, compiled } = makeCheckout();
    await build(place, sources);
    const folder = path.join(place.runtime.home, 'bindings');
    const [name] = readdirSync(folder).filter((file) => file.endsWith('.node'));
    change(path.join(folder, name!));
    place.log.length = 0;
    await build(place, sources);
    expect(shipped(place)).toContain('-DNAPI_VERSION=8');
    expect(shipped(place)).not.toContain('planted');
    const said = place.log.filter((line) => line.includes('is compiled again'));
    expect([compiled(), said.length]).toEqual([2, 1]);
    await build(place, sources);
    expect(compiled()).toBe(2);
  });

  it('uses a kept binding without a compiler', async () => {
    const { place, sources } = makeCheckout();
    await build(place, sources);
    const good = shipped(place);
    place.env['CXX'] = 'no-such-compiler';
    rmSync(place.runtime.dist, { recursive: true });
    await build(place, sources);
    expect(shipped(place)).toBe(good);
  });

  it.skipIf(process.platform === 'win32')('keeps bindings in a private folder', async () => {
    const { place, sources } = makeCheckout();
    mkdirSync(path.join(place.runtime.home, 'bindings'), { recursive: true, mode: 0o777 });
    await build(place, sources);
    expect(statSync(path.join(place.runtime.home, 'bindings')).mode & 0o777).toBe(0o700);
  });

  it('keeps a working binding if the next one does not compile', async () => {
    const { place, sources } = makeCheckout();
    await build(place, sources);
    const good = shipped(place);
    write(path.join(sources.binding, 'a.cc'), 'wrong');
    writeFileSync(
      place.env['CXX']!,
      `#!${process.execPath}\nif (process.argv[2] !== '--version') { console.error('a.cc:1: error: wrong'); process.exit(1); }`,
    );
    await expect(build(place, sources)).rejects.toThrow(
      /did not compile \(.*c\+\+ ended with 1\):\na\.cc:1: error: wrong/,
    );
    expect(shipped(place)).toBe(good);
  });

  it('reports a missing compiler before downloading', async () => {
    const { place, sources } = makeCheckout();
    place.env['CXX'] = 'no-such-compiler';
    await expect(build(place, sources)).rejects.toMatchObject({
      area: 'runtime',
      message: 'The C++ compiler no-such-compiler was not found.',
      fix: expect.stringContaining('apt install g++') as string,
    });
    expect(existsSync(path.join(place.root, 'calls.jsonl'))).toBe(false);
  });

  it('needs no compiler on a platform without libtensorflow', async () => {
    const { place, sources, compiled } = makeCheckout();
    expect(
      await buildRuntime(place.runtime, sources, place.options(), {
        ...place.machine,
        pin: undefined,
      }),
    ).toMatchObject({ kind: 'wasm' });
    expect(compiled()).toBe(0);
  });
});
