import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import type os from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { exec } from '../../src/runtime/exec';
import { loadTfjs, loadWasm } from '../../src/runtime/loadTfjs';
import { TfjsOps } from '../../src/models/ops/tfjsOps';
import { tempFolder } from '../support/commandLine';
import { dist } from '../support/tfjs';

const FOUR_PROCESSORS = `const os = require('node:os');
const [cpu] = os.cpus();
os.cpus = () => [cpu, cpu, cpu, cpu];
os.availableParallelism = () => 4;`;

it('multiplies matrices with WebAssembly if there is no libtensorflow', async () => {
  const tf = await loadTfjs({ kind: 'wasm', source: 'wasm', why: '' }, dist);
  expect(tf.getBackend()).toBe('wasm');
  expect([...tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync()]).toEqual([11]);
});

it('computes with SIMD and with one thread for two processors, which do not keep it alive', async () => {
  const preload = path.join(tempFolder(), 'four.cjs');
  writeFileSync(preload, FOUR_PROCESSORS);
  const args = ['-r', preload, path.join(dist, 'probe.js'), 'speed'];
  const env = { ...process.env, LORA_TFJS_BINDING: '' };
  const { exit, stdout, stderr } = await exec(process.execPath, args, { env, timeout: 600_000 });
  expect([exit, stderr]).toEqual([0, '']);
  const { gflops, threads } = JSON.parse(stdout) as { gflops: number; threads: number };
  expect(gflops).toBeGreaterThan(0);
  expect(threads).toBe(2);
});

it('gives the same products with threads, also of transposed matrices', async () => {
  const system = createRequire(import.meta.url)('node:os') as { cpus: typeof os.cpus };
  const { cpus } = system;
  system.cpus = () => [...cpus(), ...cpus(), ...cpus(), ...cpus()];
  onTestFinished(() => void (system.cpus = cpus));
  const tf = await loadWasm(dist, 2);
  expect(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')).toBe(true);
  const ops = new TfjsOps(tf);
  const [m, k, n] = [70, 33, 90];
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  const [a, b] = [values(m * k), values(k * n)];
  const expected = new Float32Array(m * n).map((_, i) => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += a[Math.floor(i / n) * k + j]! * b[j * n + (i % n)]!;
    return sum;
  });
  const transposed = (x: Float32Array, rows: number) => {
    const columns = x.length / rows;
    return x.map((_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
  };
  for (const [left, right] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    const x = ops.upload(left ? transposed(a, m) : a, left ? [k, m] : [m, k]);
    const y = ops.upload(right ? transposed(b, k) : b, right ? [n, k] : [k, n]);
    const product = await ops.download(ops.matMul(x, y, left, right));
    expect(Math.max(...product.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(
      1e-5,
    );
  }
});
