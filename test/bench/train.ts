/**
 * One training run of a model geometry with random weights. Prints one line of JSON. `run.mjs`
 * starts it in turns with PEFT.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { toBF16 } from '../../src/formats/floats';
import type { BaseModel } from '../../src/formats/baseModel';
import { countParameters, type TensorInfo } from '../../src/formats/tensorInfo';
import type { Adapter, LoraFactors, TrainedTensor } from '../../src/lora/adapter';
import { tokenLayersOf } from '../../src/formats/peft/tokens';
import { modelSize } from '../../src/formats/architecture/size';
import { estimateFullFineTuning, estimateMemory, PROCESS } from '../../src/lora/memory';
import { loadModel } from '../../src/models/loadModel';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { adaptedModulesOf, tensorsOf } from '../../src/formats/architecture/modules';
import { countedTensors, savedTensors } from '../../src/formats/architecture/trainedBeside';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { withQuantized } from '../../src/formats/quantized/source';
import { quantizedWhileLoading } from '../../src/formats/quantized/whileLoading';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import { elementCount } from '../../src/models/ops/ops';
import type { LabelledInput, Model } from '../../src/models/model';
import { objectiveOf } from '../../src/shared/objective';
import type { StepPlan } from '../../src/shared/run';
import { QUANTIZE } from '../../src/shared/trainingSettings';

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    steps: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '2' },
    batch: { type: 'string', default: '4' },
    seq: { type: 'string', default: '256' },
    rank: { type: 'string', default: '8' },
    supervised: { type: 'string', default: '1' },
    targets: { type: 'string', default: 'q_proj,k_proj,v_proj,o_proj' },
    dtype: { type: 'string', default: 'float32' },
    recompute: { type: 'string', default: '0' },
    dropout: { type: 'string', default: '0' },
    profile: { type: 'boolean', default: false },
    geometry: { type: 'string', default: 'smollm2-135m' },
    layers: { type: 'string' },
    generate: { type: 'string', default: '0' },
    method: { type: 'string', default: 'lora' },
    objective: { type: 'string', default: 'sft' },
    quantize: { type: 'string' },
    dora: { type: 'boolean', default: false },
    /** Names of modules_to_save. */
    save: { type: 'string' },
    /** How many rows of tokens of the embedding are trained. */
    tokens: { type: 'string', default: '0' },
  },
});
const quantize = QUANTIZE.find((kind) => kind === args.quantize) ?? null;
const [steps, warmup, batch, length, r, supervised] = [
  args.steps,
  args.warmup,
  args.batch,
  args.seq,
  args.rank,
  args.supervised,
].map(Number) as [number, number, number, number, number, number];

const CONFIGS: Readonly<
  Record<
    string,
    Readonly<Record<string, string | number | boolean>> & { readonly vocab_size: number }
  >
> = {
  'smollm2-135m': {
    model_type: 'llama',
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
  },
  'qwen2.5-0.5b': {
    model_type: 'qwen2',
    vocab_size: 151936,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
  },
  // eight layers of Qwen3.5-0.8B, with a smaller vocabulary
  'qwen3.5-8-layers': {
    model_type: 'qwen3_5_text',
    vocab_size: 32768,
    hidden_size: 1024,
    intermediate_size: 3584,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 256,
    linear_num_key_heads: 16,
    linear_num_value_heads: 16,
    tie_word_embeddings: true,
    rope_theta: 10000000,
  },
  // a small mixture with the layers of Qwen 3 MoE
  'mixture-32x4': {
    model_type: 'qwen3_moe',
    vocab_size: 32768,
    hidden_size: 512,
    intermediate_size: 1536,
    moe_intermediate_size: 256,
    num_experts: 32,
    num_experts_per_tok: 4,
    norm_topk_prob: true,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 64,
    tie_word_embeddings: true,
    rope_theta: 1000000,
  },
  'llama-1.5b': {
    model_type: 'llama',
    vocab_size: 128256,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 20,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
  },
};
const WHOLE = CONFIGS[args.geometry]!;
const CONFIG =
  args.layers === undefined ? WHOLE : { ...WHOLE, num_hidden_layers: Number(args.layers) };

/**
 * A pool of numbers, from which all weights are copied: generating 135 million would take longer
 * than loading them.
 */
const pool = Float32Array.from(
  { length: 1 << 20 },
  () => (Math.random() + Math.random() + Math.random() - 1.5) * 0.04,
);
const halves = toBF16(pool);
function randomWeights(size: number, data: Float32Array = new Float32Array(size)): Float32Array {
  for (let at = 0; at < size; at += pool.length)
    data.set(pool.subarray(0, Math.min(pool.length, size - at)), at);
  return data;
}

function randomHalves(data: Uint16Array): Uint16Array {
  for (let at = 0; at < data.length; at += halves.length)
    data.set(halves.subarray(0, Math.min(halves.length, data.length - at)), at);
  return data;
}

function geometry(): BaseModel {
  const base = numbersOfGeometry();
  if (!quantize) return base;
  const { weights, spec, path } = base;
  const options = { kind: quantize, modules_to_save: null };
  const tensors = quantizedWhileLoading(weights, spec, options, path);
  return { ...base, weights: withQuantized(weights, tensors) };
}

function numbersOfGeometry(): BaseModel {
  const spec = readSpec(CONFIG, 'geometry');
  const tensors = new Map(
    tensorsOf(spec).body.map(({ name, shape }): [string, TensorInfo] => [
      name,
      { name, shape, dtype: 'F32' },
    ]),
  );
  const readF32 = (name: string, target?: Float32Array) => {
    const { shape } = tensors.get(name)!;
    const data = target ?? new Float32Array(elementCount(shape));
    return Promise.resolve(shape.length === 1 ? data.fill(1) : randomWeights(data.length, data));
  };
  return {
    path: 'geometry',
    name: args.geometry,
    hub: null,
    format: 'safetensors',
    config: CONFIG,
    spec,
    missing: [],
    replaced: new Set(),
    weights: {
      tensors,
      readF32,
      readBF16: (name, target) =>
        Promise.resolve(
          randomHalves(target ?? new Uint16Array(elementCount(tensors.get(name)!.shape))),
        ),
      close: () => Promise.resolve(),
    },
    weight_files: [],
    parameters: countParameters(tensors),
    readTokenizer: () => Promise.reject(new Error('The geometry has no tokenizer.')),
    close: () => Promise.resolve(),
  };
}

function adapter(): Adapter {
  const names = args.targets.split(',');
  const modules = adaptedModulesOf(readSpec(CONFIG, 'geometry'))
    .filter((m) => names.includes(m.path.split('.').at(-1)!))
    .map((m): LoraFactors => ({
      path: m.path,
      kind: m.kind,
      r,
      in_features: m.in_features,
      out_features: m.out_features,
      scaling: 16 / r,
      magnitude: args.dora ? new Float32Array(m.out_features).fill(1) : null,
      A: randomWeights(r * m.in_features),
      B: new Float32Array(r * m.out_features),
    }));
  return { modules, trained: trainedTensors(), config: EMPTY_ADAPTER.config };
}

/** Those of modules_to_save, and the first rows of the embedding. */
function trainedTensors(): TrainedTensor[] {
  const spec = readSpec(CONFIG, 'geometry');
  const modules_to_save = args.save?.split(',') ?? null;
  const saved = savedTensors({ spec }, { modules_to_save, bias: 'none' }, new Set());
  const whole = saved.map((own) => ({ ...own, data: randomWeights(elementCount(own.shape)) }));
  const count = Number(args.tokens);
  if (count === 0) return whole;
  const { embedding } = tokenLayersOf(spec)!;
  const shape = [count, spec.hidden_size];
  const rows = Array.from({ length: count }, (_, i) => i);
  const data = randomWeights(elementCount(shape));
  return [...whole, { name: `${embedding}.weight`, shape, data, rows }];
}

const memoryMb = (key: string) =>
  Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) /
  1024;
const median = (xs: number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!;

/** Milliseconds and calls of each operation, by its type and its result's size. */
const spent = new Map<string, { ms: number; calls: number }>();
function timed(binding: TfBinding): TfBinding {
  const executeOp: TfBinding['executeOp'] = (op, attrs, inputs, outputs) => {
    const start = performance.now();
    const results = binding.executeOp(op, attrs, inputs, outputs);
    const isHalf = attrs.some(({ name, value }) => name !== 'DstT' && value === 14);
    const key = `${op}${isHalf ? ' bf16' : ''}`;
    const own = spent.get(key) ?? { ms: 0, calls: 0 };
    spent.set(key, { ms: own.ms + performance.now() - start, calls: own.calls + 1 });
    return results;
  };
  const bound = <K extends keyof TfBinding>(key: K) => binding[key].bind(binding) as TfBinding[K];
  return {
    executeOp,
    createTensor: bound('createTensor'),
    deleteTensor: bound('deleteTensor'),
    tensorDataSync: bound('tensorDataSync'),
    isUsingGpuDevice: bound('isUsingGpuDevice'),
  };
}

/**
 * Tokens per second of greedy generation after a prompt of 32 tokens, without the first token,
 * which includes the prompt.
 */
async function generated(model: Model, max_new_tokens: number) {
  const prompt = Array.from({ length: 32 }, (_, i) => (i * 37) % CONFIG.vocab_size);
  const runs: number[] = [];
  for (let run = 0; run < 3; run++) {
    let first = 0;
    await model.generate(prompt, {
      max_new_tokens,
      temperature: 0,
      seed: 0,
      stop_ids: [],
      onToken: () => {
        first ||= performance.now();
        return true;
      },
    });
    runs.push((max_new_tokens - 1) / ((performance.now() - first) / 1e3));
  }
  return { tokens_per_s: median(runs), peak_rss_mb: memoryMb('VmHWM') };
}

function profileOf(count: number): void {
  for (const [op, { ms, calls }] of [...spent].sort((a, b) => b[1].ms - a[1].ms).slice(0, 30))
    console.error(
      `${op.padEnd(24)}${(ms / count).toFixed(1).padStart(9)} ms a step in ${(calls / count).toFixed(0)} calls`,
    );
}

/** Random tokens; the last share `supervised` of each row is labelled. */
function randomBatch() {
  const input_ids = Int32Array.from({ length: batch * length }, () =>
    Math.floor(Math.random() * CONFIG.vocab_size),
  );
  const firstLabel = Math.round(length * (1 - supervised));
  const labels = input_ids.map((id, i) => (i % length < firstLabel ? -100 : id));
  const attention_mask = new Int32Array(batch * length).fill(1);
  return { batch, length, input_ids, labels, attention_mask, ...comparison() };
}

/** dpo: the first half of the batch is preferred to the second. */
function comparison(): Pick<LabelledInput, 'comparison'> {
  const objective = objectiveOf({ task: 'causal_lm', objective: { method: 'dpo' } });
  if (args.objective !== 'dpo' || objective?.method !== 'dpo') return {};
  const reference = new Float64Array(batch).fill(-1000);
  return { comparison: { kind: 'pairs', objective, reference, margins: null } };
}

/** Trains, and returns the seconds of each step after the warm-up, and the last loss. */
async function timeSteps(model: Awaited<ReturnType<typeof loadModel>>) {
  const input = randomBatch();
  const times: number[] = [];
  const processorTimes: number[] = [];
  let loss = 0;
  for (let i = 0; i < warmup + steps; i++) {
    if (i === warmup) spent.clear();
    const t0 = performance.now();
    const cpu = process.cpuUsage();
    const { loss_sum, labelled } = await model.accumulate(input, i);
    await model.step(labelled, { learning_rate: 1e-4, weight_decay: 0.01, max_grad_norm: 1 });
    const { user, system } = process.cpuUsage(cpu);
    if (i >= warmup) times.push((performance.now() - t0) / 1e3);
    if (i >= warmup) processorTimes.push((user + system) / 1e6);
    loss = loss_sum / labelled;
  }
  return { times, processorTimes, loss };
}

/** What `lora check` says of the run's memory, in MiB. */
function estimates(start: Adapter, plan: StepPlan) {
  const base = geometry();
  const size = modelSize(
    base,
    start.trained.map(({ name }) => name),
  );
  const shape = { rows: batch, length };
  const full_mb = estimateFullFineTuning(size, shape, plan).total / 2 ** 20;
  const modules = adaptedModulesOf(base.spec).filter((m) =>
    start.modules.some((own) => own.path === m.path),
  );
  const besides = countedTensors(base.spec, start.trained);
  const adapted = { modules, ranks: r, besides, use_dora: args.dora };
  return {
    /** What the blocks of quantized matrices take. */
    blocks_mb: quantize && (size.quantized_bytes ?? 0) / 2 ** 20,
    full_mb,
    estimated_mb:
      args.method === 'full' ? full_mb : estimateMemory(size, adapted, shape, plan).total / 2 ** 20,
  };
}

async function main(): Promise<void> {
  const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
  const rss_empty_mb = memoryMb('VmRSS');
  const isFull = args.method === 'full';
  const start = isFull ? EMPTY_ADAPTER : adapter();
  const plan = {
    base_dtype: args.dtype === 'bfloat16' ? 'bfloat16' : 'float32',
    recomputed_layers: Number(args.recompute),
    ...(quantize && { quantized: true, quantize }),
  } as const satisfies StepPlan;
  const ops = new TensorFlowOps(args.profile ? timed(tf.backend().binding) : tf.backend().binding);
  const model = await loadModel(geometry(), start, {
    ops,
    ...plan,
    method: isFull ? 'full' : 'lora',
    lora_dropout: Number(args.dropout),
  });
  if (Number(args.generate) > 0) {
    console.log(JSON.stringify(await generated(model, Number(args.generate))));
    profileOf(3 * Number(args.generate));
    return;
  }
  const rss_model_mb = memoryMb('VmRSS');
  const start_s = performance.now() / 1e3;
  const { times, processorTimes, loss } = await timeSteps(model);
  const tokens = batch * length;
  const { blocks_mb, full_mb, estimated_mb } = estimates(start, plan);
  const result = {
    device: ops.name,
    parameters: geometry().parameters,
    trainable: model.trainable_parameters,
    step_s: median(times),
    step_s_min: Math.min(...times),
    /** Seconds of the processor, of all threads. */
    step_cpu_s: median(processorTimes),
    tokens_per_s: tokens / median(times),
    tokens_per_s_best: tokens / Math.min(...times),
    start_s,
    rss_empty_mb,
    rss_model_mb,
    blocks_mb,
    peak_rss_mb: memoryMb('VmHWM'),
    loss,
    live: model.liveTensors(),
    full_mb,
    estimate_mb: estimated_mb + rss_empty_mb - PROCESS / 2 ** 20,
  };
  profileOf(steps);
  console.log(JSON.stringify(result));
}

void main();
