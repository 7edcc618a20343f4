// npm run bench:long: steps on one long row of SmolLM2-135M's geometry, r = 8 on all linear layers,
// in bf16 with all layers but the last recomputed: tokens per second, and the peak of memory beside
// the estimate. --lengths 1024,4096; --layers N (of 30); --dtype float32.
import { parseArgs } from 'node:util';
import { ourTraining } from './ours.mjs';

const { values: args } = parseArgs({
  options: {
    lengths: { type: 'string', default: '1024,4096,8192,16384,32768' },
    layers: { type: 'string', default: '30' },
    dtype: { type: 'string', default: 'bfloat16' },
  },
});
const LINEAR = 'q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj';
const train = await ourTraining();
console.log(
  '| tokens of the row | tokens per second | processor, s | peak memory, MB | estimated, MB | ratio |\n|---|---|---|---|---|---|',
);
for (const length of args.lengths.split(',').map(Number)) {
  const run = train([
    ...['--batch', 1, '--seq', length, '--steps', 1, '--warmup', length > 4096 ? 0 : 1],
    ...['--dtype', args.dtype, '--targets', LINEAR],
    ...['--layers', args.layers, '--recompute', Number(args.layers) - 1],
  ]);
  const cells = [
    length,
    run.tokens_per_s.toFixed(0),
    run.step_cpu_s.toFixed(1),
    run.peak_rss_mb.toFixed(0),
    run.estimate_mb.toFixed(0),
    (run.estimate_mb / run.peak_rss_mb).toFixed(2),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
