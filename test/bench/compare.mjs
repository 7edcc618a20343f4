// npm run bench:compare: comparing two adapters on all linear layers of SmolLM2-135M by their
// factors, and by full SVDs of the updates in PyTorch. --rounds N.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { smollm2Path } from '../../scripts/models.mjs';
import { peftPython } from './peft/python.mjs';

const {
  values: { rounds },
} = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const root = path.resolve(import.meta.dirname, '../..');
const out = path.join(root, 'out', 'bench');
const last = (text) => JSON.parse(text.trim().split('\n').at(-1));

await build({
  absWorkingDir: root,
  entryPoints: ['test/bench/compare.ts'],
  outdir: out,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  logLevel: 'warning',
});
const model = await smollm2Path();
const ours = () =>
  last(
    execFileSync(process.execPath, [path.join(out, 'compare.js'), model, rounds], {
      encoding: 'utf8',
    }),
  );
const before = ours();
const full = last(
  execFileSync(peftPython(), [path.join(import.meta.dirname, 'peft', 'svd.py')], {
    encoding: 'utf8',
  }),
);
const times = [...before.times, ...ours().times].sort((a, b) => a - b);
const seconds = times[times.length >> 1] / 1000;
console.log(
  `${before.modules} modules: from the factors ${seconds.toFixed(2)} s (median of ${times.length}), full SVDs ${full.seconds.toFixed(1)} s: ${(seconds / full.seconds).toFixed(4)} of the time`,
);
