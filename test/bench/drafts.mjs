// npm run bench:drafts -- --base FILE.gguf: answers with and without prompt lookup (drafts.ts), on
// an idle machine. --products exact, --form bfloat16 and --kinds "summaries,quotes" as there.
import { ourProgram, root } from './ours.mjs';

const { table, times } = (await ourProgram('test/bench/drafts.ts'))([
  ...['--root', root],
  ...process.argv.slice(2),
]);
console.log('| prompts | tokens of a step | tokens/s without | with | ratio |');
console.log('| --- | --- | --- | --- | --- |');
for (const { kind, tokens, steps, seconds, single_seconds } of table) {
  const [without, own] = [tokens / single_seconds, tokens / seconds];
  const cells = [tokens / steps, without, own, own / without];
  console.log(`| ${[kind, ...cells.map((cell) => cell.toFixed(2))].join(' | ')} |`);
}
console.log(`Steps of 1 to 8 rows take ${times.map((own) => own.toFixed(2)).join(', ')}.`);
