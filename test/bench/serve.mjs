// npm run bench:serve -- --base MODEL: tokens per second of one and of eight streams of
// `lora serve --http`, each the best of some rounds, on an idle machine only; and tokens per second
// of the processor, medians, including on a busy one.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { median, processorSeconds } from './processorTime.mjs';

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    streams: { type: 'string', default: '8' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
  },
});
if (!values.base) throw new Error('Give a base: --base MODEL.');
const [streams, tokens, rounds] = [values.streams, values.tokens, values.rounds].map(Number);
const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
const args = ['serve', '--http', '--port', '0', '--base', values.base, '--parallel', `${streams}`];
const server = spawn(process.execPath, [cli, ...args, '--json'], {
  stdio: ['ignore', 'pipe', 'inherit'],
});

/** The address, when the model is loaded. */
async function address() {
  for await (const line of createInterface({ input: server.stdout })) {
    const event = JSON.parse(line);
    if (event.kind === 'ready') return event.url;
  }
  throw new Error('The server has ended.');
}

/** Writes `tokens` tokens. */
async function write(url, number) {
  const body = {
    model: 'base',
    prompt: `Chapter ${number + 1}. Once upon a time`,
    max_tokens: tokens,
    temperature: 1,
    seed: number,
  };
  const response = await fetch(`${url}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const { usage, error } = await response.json();
  if (error) throw new Error(error.message);
  return usage.completion_tokens;
}

/** Tokens per second, and per second of the processor, of some streams at once. */
async function rate(url, count) {
  const [start, used] = [performance.now(), processorSeconds()];
  const written = await Promise.all(Array.from({ length: count }, (_, i) => write(url, i)));
  const sum = written.reduce((a, b) => a + b);
  return {
    wall: (1000 * sum) / (performance.now() - start),
    processor: sum / (processorSeconds() - used),
  };
}

try {
  const url = await address();
  await rate(url, 1);
  const [one, many] = [[], []];
  for (let i = 0; i < rounds; i++) {
    one.push(await rate(url, 1));
    many.push(await rate(url, streams));
  }
  for (const [name, value] of [
    ['tokens/s', (rates) => Math.max(...rates.map(({ wall }) => wall))],
    ['tokens per second of the processor', (rates) => median(rates.map((own) => own.processor))],
  ]) {
    const [a, b] = [value(one), value(many)];
    const ratio = (b / a).toFixed(2);
    console.log(
      `${a.toFixed(1)} and ${b.toFixed(1)} ${name}: ${streams} streams have ${ratio} times`,
    );
  }
} finally {
  server.kill();
}
