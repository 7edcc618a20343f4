/**
 * Steps on a large model with made-up weights in a .gguf file, which it writes if it is not there.
 * Prints one line of JSON. `large.mjs` starts it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { modelSize } from '../../src/formats/architecture/size';
import { openBase, targetableModules } from '../../src/formats/openBase';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { estimateMemory, PROCESS } from '../../src/lora/memory';
import { loadModel } from '../../src/models/loadModel';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import type { StepPlan } from '../../src/shared/run';
import { writeMadeUp, type Geometry, type Mix } from './madeUp';

const GEOMETRIES: Readonly<Record<string, Geometry & { readonly mix: Mix }>> = {
  'llama-1.5b': {
    ...{ hidden: 2048, inner: 8192, layers: 20, heads: 32, kv_heads: 8, vocab: 128_256 },
    ...{ tied: true, mix: 'Q4_K' },
  },
  'llama-8b': {
    ...{ hidden: 4096, inner: 14_336, layers: 32, heads: 32, kv_heads: 8, vocab: 128_256 },
    ...{ tied: false, mix: 'Q4_K_M' },
  },
};

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    file: { type: 'string' },
    geometry: { type: 'string', default: 'llama-8b' },
    layers: { type: 'string' },
    form: { type: 'string', default: 'quantized' },
    batch: { type: 'string', default: '1' },
    seq: { type: 'string', default: '512' },
    recompute: { type: 'boolean', default: false },
    warmup: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1' },
  },
});
const [batch, length, warmup, steps] = [args.batch, args.seq, args.warmup, args.steps].map(
  Number,
) as [number, number, number, number];
const R = 8;

const memoryMb = (key: string) =>
  Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) /
  1024;
const median = (xs: number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!;

const factorsFor = (modules: ReturnType<typeof targetableModules>): LoraFactors[] =>
  modules.map((m) => ({
    ...{ path: m.path, kind: m.kind, in_features: m.in_features, out_features: m.out_features },
    ...{ r: R, scaling: 2, magnitude: null },
    A: Float32Array.from({ length: R * m.in_features }, (_, i) => ((i % 17) - 8) / 800),
    B: new Float32Array(R * m.out_features),
  }));

/** Billions of operations a second of the largest product of a layer, in bf16: the best of five. */
function productLimit(ops: TensorFlowOps, { hidden, inner }: Geometry): number {
  const uploaded = (rows: number, columns: number) => {
    const x = ops.upload(new Float32Array(rows * columns).fill(0.01), [rows, columns]);
    const y = ops.cast(x, 'bf16');
    ops.free(x);
    return y;
  };
  const [x, w] = [uploaded(batch * length, hidden), uploaded(inner, hidden)];
  let best = Infinity;
  for (let i = 0; i < 6; i++) {
    const start = performance.now();
    ops.free(ops.matMul(x, w, false, true));
    if (i > 0) best = Math.min(best, performance.now() - start);
  }
  ops.free(x, w);
  return (2 * batch * length * hidden * inner) / best / 1e6;
}

/** Operations of a step's products with weights: forward, backward, and forward again. */
function stepOperations(
  modules: readonly { in_features: number; out_features: number }[],
  geometry: Geometry,
) {
  const body = modules.reduce((sum, m) => sum + m.in_features * m.out_features, 0);
  const passes = args.recompute ? 3 : 2;
  const head = geometry.vocab * geometry.hidden;
  return 2 * batch * length * (passes * body + 2 * head);
}

async function timeSteps(model: Awaited<ReturnType<typeof loadModel>>, vocab: number) {
  const input_ids = Int32Array.from({ length: batch * length }, (_, i) => (i * 7919) % vocab);
  const attention_mask = new Int32Array(batch * length).fill(1);
  const input = { batch, length, input_ids, labels: input_ids, attention_mask };
  const [wall, processor]: [number[], number[]] = [[], []];
  let loss = 0;
  for (let i = 0; i < warmup + steps; i++) {
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    const { loss_sum, labelled } = await model.accumulate(input, i);
    await model.step(labelled, { learning_rate: 1e-4, weight_decay: 0.01, max_grad_norm: 1 });
    const { user, system } = process.cpuUsage(cpu);
    if (i >= warmup) wall.push((performance.now() - start) / 1e3);
    if (i >= warmup) processor.push((user + system) / 1e6);
    loss = loss_sum / labelled;
  }
  return { step_s: median(wall), step_cpu_s: median(processor), loss };
}

async function measured(base: BaseModel, geometry: Geometry) {
  const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
  const empty_mb = memoryMb('VmRSS');
  const ops = new TensorFlowOps(tf.backend().binding);
  const modules = targetableModules(base).filter((m) => m.kind === 'linear' && !m.is_output);
  const adapter: Adapter = {
    ...{ modules: factorsFor(modules), trained: [], config: EMPTY_ADAPTER.config },
  };
  const plan: StepPlan = {
    base_dtype: 'bfloat16',
    recomputed_layers: args.recompute ? base.spec.num_layers - 1 : 0,
    ...(args.form === 'quantized' && { quantized: true }),
  };
  const model = await loadModel(base, adapter, { ops, ...plan });
  const loaded_mb = memoryMb('VmRSS');
  const times = await timeSteps(model, geometry.vocab);
  const peak_mb = memoryMb('VmHWM');
  const limit = productLimit(ops, geometry);
  const size = modelSize(base);
  const rate = stepOperations(modules, geometry) / times.step_s / 1e9;
  const estimate = estimateMemory(size, { modules, ranks: R }, { rows: batch, length }, plan);
  return {
    ...times,
    tokens_per_s: (batch * length) / times.step_s,
    weights_mb: (size.quantized_bytes ?? 0) / 2 ** 20,
    loaded_mb,
    peak_mb,
    estimate_mb: (estimate.total - PROCESS) / 2 ** 20 + empty_mb,
    gflops: rate,
    limit_gflops: limit,
    share: rate / limit,
  };
}

async function main(): Promise<void> {
  const { mix, ...whole } = GEOMETRIES[args.geometry]!;
  const geometry = { ...whole, layers: Number(args.layers ?? whole.layers) };
  if (!existsSync(args.file!)) await writeMadeUp(args.file!, geometry, mix);
  const base = await openBase(args.file!);
  console.log(JSON.stringify(await measured(base, geometry)));
  await base.close();
}

void main();
