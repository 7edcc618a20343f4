/**
 * Attention of one layer, forward and backward, by the kernel in blocks and by operations on rows
 * of scores: the processor's time of each, in turns. Prints one line of JSON.
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { attendRows, attendRowsBackward } from '../../src/models/attention/rowAttention';
import { planRowBlocks } from '../../src/models/attention/rowBlocks';
import type { Heads } from '../../src/models/ops/fusedOps';
import type { Precision, Tensor } from '../../src/models/ops/ops';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import { createRandom } from '../../src/shared/random';

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    batch: { type: 'string', default: '1' },
    length: { type: 'string', default: '1024' },
    heads: { type: 'string', default: '9' },
    'kv-heads': { type: 'string', default: '3' },
    'head-dim': { type: 'string', default: '64' },
    dtype: { type: 'string', default: 'float32' },
    rounds: { type: 'string', default: '5' },
  },
});
const [batch, length, num_heads, num_kv_heads, head_dim, rounds] = [
  args.batch,
  args.length,
  args.heads,
  args['kv-heads'],
  args['head-dim'],
  args.rounds,
].map(Number) as [number, number, number, number, number, number];
const dtype: Precision = args.dtype === 'bfloat16' ? 'bf16' : 'f32';

const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
const ops = new TensorFlowOps(tf.backend().binding);
const random = createRandom(1, 'attention');

function uploaded(shape: readonly number[]): Tensor {
  const size = shape.reduce((n, d) => n * d, 1);
  const x = ops.upload(
    Float32Array.from({ length: size }, () => random() * 2 - 1),
    shape,
  );
  return ops.cast(x, dtype);
}

const shape = { batch, length, num_heads, num_kv_heads, head_dim };
const keys = [batch * num_kv_heads, length, head_dim];
const heads: Heads = {
  q: uploaded([batch, num_heads, length, head_dim]),
  k: uploaded(keys),
  v: uploaded(keys),
};
const dO = uploaded([batch * length, num_heads * head_dim]);

function byRows() {
  const input = {
    batch,
    length,
    attention_mask: new Int32Array(batch * length).fill(1),
  };
  const rowBlocks = planRowBlocks(ops, input, { causal: true, window: null });
  const row = ops.upload(new Float32Array(1).fill(1), [1]);
  const rope = { kind: 'scale', row } as const;
  const pass = { ops, shape, rope, rowBlocks, softcap: null, sinks: null };
  const output = attendRows(pass, heads, false);
  const { dHeads } = attendRowsBackward(pass, heads, output, dO);
  const results = [output.o, dHeads.q, dHeads.k, dHeads.v];
  ops.free(row, ...rowBlocks.flatMap(({ mask }) => mask ?? []));
  return results;
}

function byBlocks() {
  const form = { causal: true, window: null, softcap: null, sinks: null, ids: null };
  const attended = ops.fused!.attend(heads, form);
  const { q, k, v } = ops.fused!.attendGrad(heads, form, attended, dO);
  ops.free(attended.stats);
  return [attended.o, q, k, v];
}

const median = (xs: number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!;
const memory = { rows: [] as number[], blocks: [] as number[] };
const wall = { rows: [] as number[], blocks: [] as number[] };

function timed(kind: 'rows' | 'blocks') {
  const before = process.cpuUsage();
  const start = performance.now();
  const results = kind === 'rows' ? byRows() : byBlocks();
  wall[kind].push(performance.now() - start);
  const { user, system } = process.cpuUsage(before);
  memory[kind].push((user + system) / 1e3);
  return results;
}

async function main(): Promise<void> {
  const gaps: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const rows = timed('rows');
    const blocks = timed('blocks');
    if (round === 0) {
      for (const [i, x] of rows.entries()) {
        const [a, b] = [await ops.download(x), await ops.download(blocks[i]!)];
        let [gap, most] = [0, 0];
        a.forEach((value, at) => {
          gap = Math.max(gap, Math.abs(value - b[at]!));
          most = Math.max(most, Math.abs(value));
        });
        gaps.push(gap / most);
      }
      for (const times of [memory.rows, memory.blocks, wall.rows, wall.blocks]) times.length = 0;
    }
    ops.free(...rows, ...blocks);
  }
  const operations = (7 * 2 * batch * num_heads * length * length * head_dim) / 2;
  console.log(
    JSON.stringify({
      rows_cpu_ms: median(memory.rows),
      blocks_cpu_ms: median(memory.blocks),
      rows_ms: median(wall.rows),
      blocks_ms: median(wall.blocks),
      blocks_min_ms: Math.min(...wall.blocks),
      gflops_per_cpu_s: operations / 1e6 / median(memory.blocks),
      gaps,
    }),
  );
}

void main();
