import { createHash } from 'node:crypto';
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
import { storedZip } from '../../../../src/common/storedZip';
import { buildBindings, buildRuntime } from '../../../../src/runtime/binding/buildRuntime';
import { makePlace, write, type Place } from '../../../support/runtimePlace';

/** Writes its arguments, and what it was given to link, as its output. */
const WRITES_ARGUMENTS = `
const { appendFileSync, readFileSync, writeFileSync } = require('node:fs');
const args = process.argv.slice(2);
const output = args[args.findIndex((arg) => arg === '-o' || arg === '-l') + 1];
const made = args.filter((arg) => /\\.(tbd|def)$|nodeApi\\.cc$|python\\.c$/.test(arg));
writeFileSync(output, [...args, ...made.map((file) => readFileSync(file, 'utf8'))].join('\\n'));`;

/** A checkout with sources, a Python with pip, and a stand-in for the compiler in its wheel. */
function makeCheckout(program = WRITES_ARGUMENTS) {
  const place = makePlace();
  place.python({ pip: 'wheel' });
  const at = (name: string) => path.join(place.root, name);
  const sources = {
    binding: at('binding'),
    kernels: at('kernels'),
    nodeApi: at('node-api'),
    own: at('own'),
  };
  write(path.join(sources.binding, 'a.cc'), 'TF_SetStatus(1); TFE_NewOp (2); napi_typeof(3);');
  write(path.join(sources.kernels, 'k.cc'), 'TF_SessionRun(4)');
  write(path.join(sources.kernels, 'rows.h'), 'one');
  write(
    path.join(sources.nodeApi, 'node_api.h'),
    'X NAPI_CDECL\nnapi_typeof(int); Y NAPI_CDECL napi_unused(int);',
  );
  write(path.join(sources.own, 'keepLoaded.cc'), 'one');
  write(path.join(sources.own, 'environment.c'), 'renew_environment');
  write(path.join(sources.own, 'python311.txt'), 'PyList_New\n_Py_NoneStruct\n');
  const calls = at('compiled');
  const compiler = storedZip({
    'ziglang/zig': `#!${process.execPath}
require('node:fs').appendFileSync(${JSON.stringify(calls)}, process.argv[2] === 'c++' ? 'x' : '');
${program}`,
    'ziglang/lib/std.zig': 'library',
  });
  write(at('ziglang.whl'), compiler);
  const pin = {
    package: 'ziglang',
    version: '1.0',
    wheel_platform: 'manylinux2014_x86_64',
    wheel_size: compiler.length,
    sha256: createHash('sha256').update(compiler).digest('hex'),
  };
  return {
    place,
    sources,
    request: {
      runtime: place.runtime,
      sources,
      options: place.options(),
      machine: place.machine,
      compiler: pin,
    },
    compiled: () => (existsSync(calls) ? readFileSync(calls, 'utf8').length : 0),
  };
}

const zigFolder = (place: Place) => path.join(place.runtime.home, 'zig-1.0');
const changeRecord = (kept: string, change: object) => {
  const record = JSON.parse(readFileSync(`${kept}.json`, 'utf8')) as object;
  writeFileSync(`${kept}.json`, JSON.stringify({ ...record, ...change }));
};
const shipped = (place: Place, platform = 'linux-x64', name = 'tfjs_binding.node') =>
  readFileSync(path.join(place.runtime.dist, 'binding', platform, name), 'utf8');
const downloads = (place: Place) =>
  place
    .pythonCalls()
    .filter((call) => call.args[2] === 'download')
    .map(({ args }) => args.at(-1));

describe('a build from source', () => {
  it('compiles the binding and installs the runtime with one download of each wheel', async () => {
    const { place, sources, request } = makeCheckout();
    expect(await buildRuntime(request)).toMatchObject({
      source: 'wheel',
      tensorflow_version: '2.18.1',
    });
    expect(shipped(place).split('\n')).toEqual(
      expect.arrayContaining([
        '-shared',
        '-DNAPI_VERSION=8',
        'x86_64-linux-gnu.2.17',
        '-Wl,-z,nodelete',
        '-Wl,-rpath,$ORIGIN',
        path.join(sources.binding, 'a.cc'),
        path.join(sources.kernels, 'k.cc'),
        path.join(sources.own, 'keepLoaded.cc'),
        `-I${sources.nodeApi}`,
      ]),
    );
    expect(downloads(place)).toEqual(['ziglang==1.0', 'tensorflow-cpu==2.18.1']);
    expect(place.inHome()).toEqual([
      'bindings',
      'tensorflow-2.18.1-linux-x64',
      'wheels',
      'zig-1.0',
    ]);
  });

  it('recompiles only if a source has changed', async () => {
    const { sources, request, compiled } = makeCheckout();
    await buildRuntime(request);
    await buildRuntime(request);
    expect(compiled()).toBe(1);
    write(path.join(sources.binding, 'a.cc'), 'two');
    await buildRuntime(request);
    expect(compiled()).toBe(2);
    write(path.join(sources.kernels, 'rows.h'), 'two');
    await buildRuntime(request);
    write(path.join(sources.own, 'environment.c'), 'two');
    await buildRuntime(request);
    expect(compiled()).toBe(4);
  });

  it.each<readonly [string, (kept: string) => void]>([
    ['has other bytes', (kept) => writeFileSync(path.join(kept, 'tfjs_binding.node'), 'planted')],
    ['has no record', (kept) => rmSync(`${kept}.json`)],
    ['has the record of another file', (kept) => changeRecord(kept, { sha256: {} })],
    ['has the record of other sources', (kept) => changeRecord(kept, { sources: '0'.repeat(64) })],
    [
      'is a link',
      (kept) => {
        const file = path.join(kept, 'tfjs_binding.node');
        renameSync(file, `${file}.moved`);
        symlinkSync(`${file}.moved`, file);
      },
    ],
  ])('compiles again, and says so, if the kept binding %s', async (_, change) => {
    const { place, request, compiled } = makeCheckout();
    await buildRuntime(request);
    const folder = path.join(place.runtime.home, 'bindings');
    const [name] = readdirSync(folder).filter((file) => !file.endsWith('.json'));
    change(path.join(folder, name!));
    place.log.length = 0;
    await buildRuntime(request);
    expect(shipped(place)).toContain('-DNAPI_VERSION=8');
    expect(shipped(place)).not.toContain('planted');
    const said = place.log.filter((line) => line.includes('is compiled again'));
    expect([compiled(), said.length]).toEqual([2, 1]);
    await buildRuntime(request);
    expect(compiled()).toBe(2);
  });

  it('unpacks the compiler again if its program has changed', async () => {
    const { place, sources, request } = makeCheckout();
    await buildRuntime(request);
    write(path.join(zigFolder(place), 'ziglang', 'zig'), 'planted');
    write(path.join(sources.binding, 'a.cc'), 'two');
    await buildRuntime(request);
    expect(downloads(place)).toEqual(['ziglang==1.0', 'tensorflow-cpu==2.18.1', 'ziglang==1.0']);
    write(path.join(sources.binding, 'a.cc'), 'three');
    await buildRuntime(request);
    expect(downloads(place)).toHaveLength(3);
  });

  it('uses a kept binding without a compiler', async () => {
    const { place, request } = makeCheckout();
    await buildRuntime(request);
    const good = shipped(place);
    rmSync(zigFolder(place), { recursive: true });
    rmSync(place.runtime.dist, { recursive: true });
    await buildRuntime(request);
    expect(shipped(place)).toBe(good);
    expect(existsSync(zigFolder(place))).toBe(false);
  });

  it.skipIf(process.platform === 'win32')(
    'keeps bindings and the compiler in private folders',
    async () => {
      const { place, request } = makeCheckout();
      const bindings = path.join(place.runtime.home, 'bindings');
      mkdirSync(bindings, { recursive: true, mode: 0o777 });
      await buildRuntime(request);
      for (const folder of [bindings, zigFolder(place)])
        expect(statSync(folder).mode & 0o777).toBe(0o700);
    },
  );

  it('keeps a working binding if the next one does not compile', async () => {
    const { place, sources, request } = makeCheckout(
      `const source = process.argv.find((arg) => arg.endsWith('a.cc'));
      if (source && require('node:fs').readFileSync(source, 'utf8') === 'wrong') {
        console.error('a.cc:1: error: wrong');
        process.exit(1);
      }
      ${WRITES_ARGUMENTS}`,
    );
    await buildRuntime(request);
    const good = shipped(place);
    write(path.join(sources.binding, 'a.cc'), 'wrong');
    await expect(buildRuntime(request)).rejects.toThrow(
      /linux-x64 did not compile \(zig c\+\+ ended with 1\):\na\.cc:1: error: wrong/,
    );
    expect(shipped(place)).toBe(good);
  });

  it('needs no compiler on a platform without libtensorflow', async () => {
    const { place, request, compiled } = makeCheckout();
    const machine = { ...place.machine, pin: undefined };
    expect(await buildRuntime({ ...request, machine })).toMatchObject({ kind: 'wasm' });
    expect(compiled()).toBe(0);
  });
});

describe('the bindings of other platforms', () => {
  it('are linked against stubs with the names that the sources use', async () => {
    const { place, request, sources } = makeCheckout();
    await buildBindings(request, ['darwin-arm64', 'win32-x64']);
    const mac = shipped(place, 'darwin-arm64');
    expect(mac).toContain('aarch64-macos.12.0');
    expect(mac).toContain('symbols: [ _TFE_NewOp, _TF_SessionRun ]');
    expect(mac).toContain('symbols: [ _TF_SetStatus ]');
    const windows = shipped(place, 'win32-x64');
    expect(windows).toContain('jmp *lora_napi_typeof(%rip)');
    expect(windows).not.toContain('napi_unused');
    const python = shipped(place, 'win32-x64', 'python311.dll');
    expect(python).toContain('void _Py_NoneStruct(void) {}');
    expect(python.split('\n')).toContain(path.join(sources.own, 'environment.c'));
  });

  it('are not compiled where the compiler does not run', async () => {
    const { place, request } = makeCheckout();
    await expect(
      buildBindings(
        { ...request, compiler: undefined, machine: { ...place.machine, platform: 'alpine-x64' } },
        ['linux-x64'],
      ),
    ).rejects.toThrow('No binding can be compiled on alpine-x64.');
  });
});
