/**
 * Reads a prompt of some ids, then writes tokens after it, greedily. Prints one line of JSON.
 * `generate.mjs` starts it in turns with llama.cpp.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import type { BaseModel } from '../../src/formats/baseModel';
import { openBase } from '../../src/formats/openBase';
import { CHUNK_TOKENS } from '../../src/models/decoder';
import { loadModel } from '../../src/models/loadModel';
import type { Decoder, NextLogits, Sequence } from '../../src/models/model';
import { sampleToken } from '../../src/models/sampling/sampleToken';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    base: { type: 'string' },
    form: { type: 'string', default: 'quantized' },
    products: { type: 'string', default: 'rounded' },
    prompt: { type: 'string', default: '256' },
    tokens: { type: 'string', default: '128' },
    streams: { type: 'string', default: '1' },
    limits: { type: 'boolean', default: false },
  },
});
const [prompt, tokens, streams] = [args.prompt, args.tokens, args.streams].map(Number) as [
  number,
  number,
  number,
];

/** Seconds that `work` takes: of the clock, and of the processor. */
async function timed<T>(work: () => Promise<T>) {
  const [start, used] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(used);
  return { result, seconds: (performance.now() - start) / 1e3, cpu: (user + system) / 1e6 };
}

const largest = ({ logits, blocks }: NextLogits) =>
  sampleToken(logits, { temperature: 0, seed: 0 }, { prompt: [], written: [] }, blocks);

async function read(decoder: Decoder, ids: Int32Array): Promise<[Sequence, number]> {
  const sequence = decoder.open();
  for (let start = 0; ; start += CHUNK_TOKENS) {
    const isLast = start + CHUNK_TOKENS >= ids.length;
    const logits = await decoder.read(sequence, ids.subarray(start, start + CHUNK_TOKENS), {
      isLast,
    });
    if (logits instanceof Float32Array) return [sequence, largest({ logits, blocks: null })];
  }
}

/** Products of a token of a prompt: with the matrices of the layers. */
const productsOf = ({ weights }: BaseModel): number =>
  [...weights.tensors.values()]
    .filter(({ name, shape }) => name.includes('layers.') && shape.length === 2)
    .reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);

/** Billions of products of bf16 a second in a product of large matrices: the best of some. */
async function multiplySpeed(ops: TensorFlowOps): Promise<number> {
  const size = 1536;
  const matrix = ops.upload(new Uint16Array(size * size).fill(0x3f80), [size, size]);
  let best = 0;
  for (let i = 0; i < 8; i++) {
    const start = performance.now();
    const y = ops.matMul(matrix, matrix, false, true);
    await ops.download(y);
    best = Math.max(best, size ** 3 / 1e6 / (performance.now() - start));
    ops.free(y);
  }
  return best;
}

async function main(): Promise<void> {
  const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
  const base = await openBase(args.base!);
  const ops = new TensorFlowOps(tf.backend().binding);
  if (args.limits) {
    const limits = { multiply_g_s: await multiplySpeed(ops), products: productsOf(base) };
    console.log(JSON.stringify(limits));
    return;
  }
  const model = await loadModel(base, EMPTY_ADAPTER, {
    ops,
    base_dtype: args.form === 'float32' ? 'float32' : 'bfloat16',
    quantized: args.form === 'quantized',
  });
  const decoder = model.decoder(args.products === 'exact' ? 'exact' : 'rounded');
  const ids = Int32Array.from({ length: prompt }, (_, i) => 100 + ((i * 37) % 200));
  const [warm] = await read(decoder, ids);
  await decoder.step([warm], [1]);
  decoder.close(warm);
  const first = await timed(() => read(decoder, ids));
  const running = [first.result];
  while (running.length < streams) running.push(await read(decoder, ids));
  const sequences = running.map(([sequence]) => sequence);
  const temperatures = sequences.map(() => 0);
  let next = running.map(([, id]) => id);
  const written = await timed(async () => {
    for (let i = 0; i < tokens; i++)
      next = (await decoder.step(sequences, next, undefined, temperatures)).map(largest);
  });
  const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  console.log(
    JSON.stringify({
      prompt: prompt / first.seconds,
      prompt_cpu_ms: (1000 * first.cpu) / prompt,
      tokens: (tokens * streams) / written.seconds,
      token_cpu_ms: (1000 * written.cpu) / (tokens * streams),
      memory: peak / 1000,
    }),
  );
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
