// npm run bench:large: steps on a base of 1.5 and of 8 billion made-up weights in Q4_K and Q4_K_M,
// r = 8 on all linear layers: tokens per second, the peak of memory, and the share of what the
// processor reaches in the largest product of a layer. Writes files of 0.8 and 4.9 GB into --folder
// (by default the system's temporary folder) and removes them. --only 1.5b|8b; --layers N takes
// fewer layers. All of it takes 5 to 7 minutes on two idle cores: the step of 8 billion weights is
// so long that none is taken before it is measured.
import { rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ourProgram } from './ours.mjs';

const { values: args } = parseArgs({
  options: {
    only: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
    layers: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
/** Geometry, form of the weights, rows and tokens of a batch, recomputation, steps before. */
const CASES = {
  '1.5b': [
    ['llama-1.5b', 'bfloat16', 4, 512, false, 1],
    ['llama-1.5b', 'quantized', 4, 512, false, 1],
  ],
  '8b': [['llama-8b', 'quantized', 1, 512, true, 0]],
};
const run = await ourProgram('test/bench/large.ts');
console.log(
  "| base | weights | batch | recomputation | tokens per second | processor, s | file, MB | loaded, MB | peak, MB | estimated, MB | share of the products' limit |\n|---|---|---|---|---|---|---|---|---|---|---|",
);
for (const [size, cases] of Object.entries(CASES)) {
  if (args.only !== undefined && args.only !== size) continue;
  const file = path.join(args.folder, `lora-bench-${size}.gguf`);
  try {
    for (const [geometry, form, batch, length, recompute, warmup] of cases) {
      const started = performance.now();
      const result = run([
        ...['--file', file, '--geometry', geometry, '--form', form],
        ...[
          '--warmup',
          warmup,
          '--batch',
          batch,
          '--seq',
          length,
          ...(recompute ? ['--recompute'] : []),
        ],
        ...(args.layers === undefined ? [] : ['--layers', args.layers]),
      ]);
      const cells = [
        ...[geometry, form, `${batch} x ${length}`, recompute ? 'yes' : 'no'],
        result.tokens_per_s.toFixed(1),
        result.step_cpu_s.toFixed(1),
        (statSync(file).size / 2 ** 20).toFixed(0),
        ...[result.loaded_mb, result.peak_mb, result.estimate_mb].map((mb) => mb.toFixed(0)),
        `${(100 * result.share).toFixed(0)} % of ${result.limit_gflops.toFixed(0)} GFLOP/s`,
      ];
      console.log(`| ${cells.join(' | ')} |`);
      const seconds = (performance.now() - started) / 1e3;
      console.error(`${geometry} in ${form}: ${seconds.toFixed(0)} s in all`);
    }
  } finally {
    if (!args.keep) rmSync(file, { force: true });
  }
}
