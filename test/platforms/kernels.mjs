// The kernels' loops, compiled as in the binding and without vectors: the results of both are the
// same, and under qemu the instructions are counted.
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { check, root } from './checks.mjs';

const { CODE_FLAGS, TRIPLES } = await tsImport(
  '../../src/runtime/binding/compile.ts',
  import.meta.url,
);
const { provideZig, ZIG_PINS } = await tsImport(
  '../../src/runtime/binding/zig.ts',
  import.meta.url,
);
const { exec } = await tsImport('../../src/runtime/exec.ts', import.meta.url);
const { defaultRuntimeHome } = await tsImport('../../src/runtime/findRuntime.ts', import.meta.url);

const SCALAR = ['-fno-vectorize', '-fno-slp-vectorize'];
/** Vectors change the order of sums and the last bits of products; bf16 has eight bits. */
const TOLERANCE = { f32: 2e-6, bf16: 2 ** -8 };

/** Of x86, where one binding has the loops for three instruction sets. */
const LEVELS = { 'win32-x64': ['2', '1', '0'] };

/** Compares the results in the emulator with those of plain C++ there. */
export async function checkKernels(platform, emulator, folder) {
  const programs = await compileCases(platform, path.join(folder, 'kernels'));
  const log = path.join(folder, 'kernels', 'log');
  const resultsOf = async (program, level) => {
    const env = level === undefined ? {} : { LORA_KERNELS_LEVEL: level };
    const code = await emulator.runProgram([program], env, log);
    const results = parse(readFileSync(log, 'utf8'));
    check(`${platform}: ${path.basename(program)} kernels end`, code === 0, `exit ${code}`);
    return results;
  };
  const plain = await resultsOf(programs.plain, '0');
  for (const level of LEVELS[platform] ?? [undefined]) {
    const wrong = differences(await resultsOf(programs.vectors, level), plain);
    const what = level === undefined ? '' : ` with level ${level}`;
    check(
      `${platform}: ${plain.size} results of the kernels are those of plain C++${what}`,
      plain.size > 0 && wrong.length === 0,
      wrong.join(', '),
    );
  }
  return programs;
}

function parse(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => {
      const [name, values] = line.split(':');
      return [name, values.trim().split(' ').map(Number)];
    }),
  );
}

function differences(have, want) {
  return [...want].flatMap(([name, values]) => {
    const own = have.get(name) ?? [];
    const tolerance = TOLERANCE[name.includes('bf16') ? 'bf16' : 'f32'];
    // a sum of terms with both signs is as exact as its terms, not as itself
    const scale = Math.max(1e-3, ...(name.includes('convert') ? [] : values.map(Math.abs)));
    const worst = Math.max(
      ...values.map((v, i) => Math.abs(own[i] - v) / Math.max(scale, Math.abs(v))),
    );
    return own.length === values.length && worst <= tolerance ? [] : [`${name} (${worst})`];
  });
}

/** The programs of a platform: as in the binding, and without vectors. */
export async function compileCases(platform, folder) {
  mkdirSync(folder, { recursive: true });
  const options = {
    signal: new AbortController().signal,
    onProgress: console.log,
    log: console.log,
  };
  const home = defaultRuntimeHome();
  const zig = await provideZig(ZIG_PINS['linux-x64'], home, process.env, options);
  const compile = async (name, flags) => {
    const output = path.join(folder, platform.startsWith('win32') ? `${name}.exe` : name);
    const args = [
      ...['c++', '-target', TRIPLES[platform], ...CODE_FLAGS, ...flags, '-s'],
      `-I${path.join(root, 'src/runtime/kernels')}`,
      ...[path.join(import.meta.dirname, 'kernels/cases.cc')],
      ...[path.join(root, 'src/runtime/kernels/rounded.cc'), '-o', output],
    ];
    const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: zig.cache, ZIG_LOCAL_CACHE_DIR: folder };
    const { exit, stderr } = await exec(zig.program, args, { env, cwd: folder });
    if (exit !== 0) throw new Error(`The cases did not compile: ${stderr.slice(-2000)}`);
    return output;
  };
  return { vectors: await compile('vectors', []), plain: await compile('plain', SCALAR) };
}
