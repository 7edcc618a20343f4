// npm run bench:fits: the estimated memory of a step for common sizes of models, as in
// docs/training.md. Reads no weights.
import { build } from 'esbuild';
import { root } from './ours.mjs';

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['test/bench/memoryRows.ts'],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'esm',
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  logLevel: 'warning',
});
const source = Buffer.from(outputFiles[0].text).toString('base64');
const { HEADINGS, memoryRows } = await import(`data:text/javascript;base64,${source}`);
const headings = ['base', 'parameters', ...HEADINGS];
console.log(`| ${headings.join(' | ')} |\n|${headings.map(() => '---').join('|')}|`);
for (const cells of memoryRows()) console.log(`| ${cells.join(' | ')} |`);
