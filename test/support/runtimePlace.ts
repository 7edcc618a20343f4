import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { PlatformPin, WheelPin } from '../../src/runtime/pins';
import type { InstallOptions, RuntimeOptions } from '../../src/runtime/runtime';
import { storedZip } from '../../src/common/storedZip';
import { machineOf, PLATFORM, type TargetMachine } from './standInMachine';

export const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/** How the stand-in for the user's Python behaves; it is a real program on the PATH. */
export interface Python {
  /** The folder of its TensorFlow. */
  readonly tensorflow?: string;
  /** 'hang' writes half of the wheel, then waits until it is killed. */
  readonly pip?: 'wheel' | 'truncated' | 'corrupted' | 'empty' | 'fails' | 'disk full' | 'hang';
}

export interface Place {
  readonly root: string;
  readonly runtime: RuntimeOptions & { readonly dist: string; readonly home: string };
  readonly pin: PlatformPin;
  readonly env: Record<string, string>;
  readonly machine: TargetMachine;
  /** What was logged. */
  readonly log: string[];
  readonly options: (signal?: AbortSignal) => InstallOptions;
  /** Puts a Python on the PATH. */
  readonly python: (python: Python, name?: string) => void;
  /** The calls of every Python so far. */
  readonly pythonCalls: () => { args: string[]; cwd: string }[];
  /** Names in the runtime's home, hidden ones included. */
  readonly inHome: () => string[];
}

/**
 * A simulated machine in a temporary folder: a build with a binding, a pinned wheel, an empty PATH
 * and no network.
 */
export function makePlace(): Place {
  const root = mkdtempSync(path.join(tmpdir(), 'lora-runtime-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const [bin, dist, home] = ['bin', 'dist', 'home'].map((name) => path.join(root, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(bin);
  write(path.join(dist, 'binding', PLATFORM, 'tfjs_binding.node'), 'the binding');
  const pin = pinnedWheel(path.join(root, 'pinned.whl'));
  const env = { PATH: bin };
  const calls = path.join(root, 'calls.jsonl');
  const log: string[] = [];
  return {
    root,
    pin,
    env,
    log,
    runtime: { dist, home },
    machine: machineOf(pin, env),
    options: (signal = new AbortController().signal) => ({
      signal,
      onProgress: () => undefined,
      log: (line) => log.push(line),
    }),
    python: (python, name = 'python3') =>
      writeFileSync(
        path.join(bin, name),
        pythonProgram(python, path.join(root, 'pinned.whl'), calls),
        { mode: 0o755 },
      ),
    pythonCalls: () =>
      readFileSync(calls, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { args: string[]; cwd: string }),
    inHome: () => readdirSync(home).sort(),
  };
}

/** Writes the wheel that a machine's pin names. */
function pinnedWheel(file: string): PlatformPin {
  const wheel = storedZip({
    'tensorflow/__init__.py': 'x',
    'tensorflow/include/tensorflow/c/c_api.h': 'TF_CAPI_EXPORT extern void TF_SessionRun(int);',
    'tensorflow/include/tensorflow/c/tf_status.h':
      'TF_CAPI_EXPORT extern void TF_SetStatus(int);\nTF_CAPI_EXPORT extern int TF_Unused(int);',
    'tensorflow/include/tensorflow/c/eager/c_api.h':
      'TF_CAPI_EXPORT extern TFE_Op* TFE_NewOp(TFE_Context* ctx);',
    ...Object.fromEntries(
      LIBRARIES.map((name) => [`tensorflow/${name}`, `library ${name} 2.18.1`]),
    ),
  });
  write(file, wheel);
  return {
    wheels: [
      {
        package: 'tensorflow-cpu',
        version: '2.18.1',
        wheel_platform: 'manylinux2014_x86_64',
        wheel_size: wheel.length,
        sha256: createHash('sha256').update(wheel).digest('hex'),
      },
    ],
    unpacked_size: 100,
    libraries: Object.fromEntries(LIBRARIES.map((name) => [`tensorflow/${name}`, name])),
  };
}

function pythonProgram(python: Python, wheel: string, calls: string): string {
  return `#!${process.execPath}
const { appendFileSync, existsSync, readFileSync, writeFileSync } = require('node:fs');
const path = require('node:path');
const args = process.argv.slice(2);
const { tensorflow, pip } = ${JSON.stringify(python)};
appendFileSync(${JSON.stringify(calls)}, JSON.stringify({ args, cwd: process.cwd() }) + '\\n');
if (args[0] === '-c') console.log(tensorflow ?? '');
else if (pip === undefined) { console.error('No module named pip'); process.exit(1); }
else if (args[2] === 'download') {
  const own = path.join(${JSON.stringify(path.dirname(wheel))}, args.find((arg) => arg.includes('==')).split('==')[0] + '.whl');
  const whole = readFileSync(existsSync(own) ? own : ${JSON.stringify(wheel)});
  const middle = Math.floor(whole.length / 2);
  const half = whole.subarray(0, middle);
  const save = (bytes) => writeFileSync(path.join(args[args.indexOf('--dest') + 1], 'tensorflow_cpu-2.18.1-cp311-cp311-manylinux2014_x86_64.whl'), bytes);
  if (pip === 'wheel') save(whole);
  if (pip === 'truncated') save(half);
  if (pip === 'corrupted') save(Buffer.from(whole).fill(0, middle, middle + 8));
  if (pip === 'fails') { console.error('ERROR: one\\nERROR: No matching distribution found for tensorflow-cpu==2.18.1'); process.exit(1); }
  if (pip === 'disk full') { console.error('ERROR: [Errno 28] No space left on device'); process.exit(1); }
  if (pip === 'hang') {
    save(half);
    console.log('half ' + process.pid);
    const parent = process.ppid;
    setInterval(() => { if (process.ppid !== parent) process.exit(1); }, 50);
  }
}
`;
}

/** Adds a GPU to the machine, and a TensorFlow with CUDA that consists of two wheels. */
export function withGpu(place: Place, device: 'cpu' | 'gpu' = 'gpu'): TargetMachine {
  const wheels = {
    tensorflow: { 'tensorflow/libtensorflow_cc.so.2': 'library cc' },
    'nvidia-cublas-cu12': {
      'nvidia/cublas/lib/libcublas.so.12': 'library cublas',
      'nvidia/cublas/include/cublas.h': 'x',
    },
  };
  const [first, ...others] = Object.entries(wheels).map(([name, files]): WheelPin => {
    const wheel = storedZip(files);
    write(path.join(place.root, `${name}.whl`), wheel);
    return {
      package: name,
      version: '1.0',
      wheel_platform: 'manylinux2014_x86_64',
      wheel_size: wheel.length,
      sha256: createHash('sha256').update(wheel).digest('hex'),
      file: `${name}.whl`,
    };
  });
  const libraries = {
    'tensorflow/libtensorflow_cc.so.2': LIBRARIES[0],
    'nvidia/cublas/lib/libcublas.so.12': 'libcublas.so.12',
  };
  writeFileSync(
    path.join(place.env['PATH']!, 'nvidia-smi'),
    `#!${process.execPath}\nconsole.log('81559, 4, NVIDIA H100 80GB HBM3');\n`,
    { mode: 0o755 },
  );
  return {
    ...place.machine,
    pin: { ...place.pin, gpu: { wheels: [first!, ...others], libraries, unpacked_size: 100 } },
    probe: () => Promise.resolve({ tensorflow_version: '2.18.1', device, bf16: 'slow' }),
  };
}

/** The folder of a TensorFlow, with its two libraries. */
export function makeLibraries(
  folder: string,
  content = 'library 2.16.2',
  names: readonly string[] = LIBRARIES,
): string {
  for (const name of names) write(path.join(folder, name), content);
  return folder;
}

export function write(file: string, content: string | Buffer): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
}
