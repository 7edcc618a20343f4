// npm run bench:serve -- --base MODEL: tokens per second of one and of eight streams of
// `lora serve --http`, each the best of some rounds. On an idle machine only.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

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
    prompt: `${number} times one is`,
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

/** Tokens per second of some streams at once. */
async function rate(url, count) {
  const start = performance.now();
  const written = await Promise.all(Array.from({ length: count }, (_, i) => write(url, i)));
  return (1000 * written.reduce((a, b) => a + b)) / (performance.now() - start);
}

try {
  const url = await address();
  await rate(url, 1);
  const best = { one: 0, many: 0 };
  for (let i = 0; i < rounds; i++) {
    best.one = Math.max(best.one, await rate(url, 1));
    best.many = Math.max(best.many, await rate(url, streams));
  }
  console.log(`one stream: ${best.one.toFixed(1)} tokens/s`);
  console.log(
    `${streams} streams: ${best.many.toFixed(1)} tokens/s, ${(best.many / best.one).toFixed(2)} times`,
  );
} finally {
  server.kill();
}
