// npm run test:platforms -- instructions: how many instructions the kernels take on Arm for each
// number of a row, as in the binding and without vectors. Under qemu a time would mean nothing.
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { check } from './checks.mjs';
import { emulatorOf } from './emulators.mjs';
import { compileCases } from './kernels.mjs';

const platform = 'linux-arm64';
/** The numbers that a case goes through, as in kernels/cases.cc. */
const NUMBERS = 1024;
const CASES = [
  ...['f32', 'bf16'].flatMap((type) =>
    [
      ...['rms', 'rms_grad', 'glu', 'glu_grad', 'sum3', 'to_heads', 'from_heads', 'softmax'],
      ...['softmax_grad', 'row_dots', 'attend_one', 'few_rows', 'cross_entropy'],
      ...['Q4_0', 'Q8_0', 'Q4_K', 'Q6_K'].map((block) => `dequantize ${block}`),
    ].map((name) => `${name} ${type}`),
  ),
  'adamw f32',
  'convert f32 to bf16',
  'convert bf16 to f32',
];

/** Prints a table. Every kernel must take fewer instructions with vectors. */
export async function instructions() {
  const emulator = await emulatorOf(platform);
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-instructions-'));
  const programs = await compileCases(platform, folder);
  const trace = path.join(folder, 'trace');
  const counted = async (program, name, times) => {
    const options = ['-singlestep', '-d', 'exec,nochain', '-D', trace];
    const log = path.join(folder, 'log');
    const code = await emulator.runProgram([program, name, String(times)], {}, log, options);
    if (code !== 0) throw new Error(`${name} ended with ${code}.`);
    return countLines(trace);
  };
  /** Of one more call. */
  const ofCall = async (program, name) =>
    (await counted(program, name, 2)) - (await counted(program, name, 1));
  const rows = [];
  for (const name of CASES) {
    const [plain, vectors] = [
      await ofCall(programs.plain, name),
      await ofCall(programs.vectors, name),
    ];
    check(`${name} takes fewer instructions with vectors`, vectors > 0 && vectors < plain);
    const [each, eachVector] = [plain, vectors].map((n) => (n / NUMBERS).toFixed(2));
    rows.push(`| ${name} | ${each} | ${eachVector} | ${(plain / vectors).toFixed(1)} |`);
  }
  console.log(
    ['| Kernel | Plain | NEON | Ratio |', '| --- | --- | --- | --- |', ...rows].join('\n'),
  );
  rmSync(folder, { recursive: true });
}

/** qemu writes a line for each instruction. */
async function countLines(file) {
  let count = 0;
  for await (const chunk of createReadStream(file))
    for (const byte of chunk) if (byte === 10) count++;
  return count;
}
