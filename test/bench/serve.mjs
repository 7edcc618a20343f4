// npm run bench:serve -- --base MODEL: tokens per second of one and of several streams of
// `lora serve --http`, by the clock (the best of some rounds, on an idle machine only) and by the
// processor's time (medians, including on a busy one), with each kind of sampling.
import { spawn } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { median, processorSeconds } from './processorTime.mjs';

const { values } = parseArgs({
  options: {
    base: { type: 'string', multiple: true },
    streams: { type: 'string', default: '8' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    sampling: { type: 'string', default: 'greedy,plain,nucleus,penalized' },
    cli: { type: 'string' },
    // writes profiles of the server's JavaScript into this folder
    profile: { type: 'string' },
  },
});
if (!values.base) throw new Error('Give a base: --base MODEL.');
const [streams, tokens, rounds] = [values.streams, values.tokens, values.rounds].map(Number);
const cli = values.cli ?? path.resolve(import.meta.dirname, '../../dist/cli.js');

/** How tokens are drawn. */
const SAMPLING = {
  greedy: { temperature: 0 },
  plain: { temperature: 1 },
  nucleus: { temperature: 0.8, top_p: 0.95, top_k: 40 },
  penalized: { temperature: 0.7, top_p: 0.9, repetition_penalty: 1.1, frequency_penalty: 0.1 },
};

/** The address, when the model is loaded. */
async function address(server) {
  for await (const line of createInterface({ input: server.stdout })) {
    const event = JSON.parse(line);
    if (event.kind === 'ready') return event.url;
  }
  throw new Error('The server has ended.');
}

/** Writes `tokens` tokens, sent one event at a time, and returns their number. */
function write(url, sampling, number) {
  const body = {
    model: 'base',
    prompt: `Chapter ${number + 1}. Once upon a time`,
    max_tokens: tokens,
    seed: number,
    stream: true,
    stream_options: { include_usage: true },
    ...SAMPLING[sampling],
  };
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const request = http.request(`${url}/completions`, { method: 'POST', headers });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        const written = /"completion_tokens":(?<count>\d+)/.exec(text);
        if (written) resolve(Number(written.groups.count));
        else reject(new Error(text.slice(0, 500)));
      });
    });
    request.end(JSON.stringify(body));
  });
}

/** Tokens per second, and per second of the processor, of some streams at once. */
async function rate(url, sampling, count) {
  const [start, used] = [performance.now(), processorSeconds()];
  const written = await Promise.all(
    Array.from({ length: count }, (_, i) => write(url, sampling, i)),
  );
  const sum = written.reduce((a, b) => a + b);
  return {
    wall: (1000 * sum) / (performance.now() - start),
    processor: sum / (processorSeconds() - used),
  };
}

async function measure(base) {
  const args = ['serve', '--http', '--port', '0', '--base', base, '--parallel', `${streams}`];
  const node = values.profile ? ['--cpu-prof', `--cpu-prof-dir=${values.profile}`] : [];
  const server = spawn(process.execPath, [...node, cli, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const url = await address(server);
    await rate(url, 'plain', 1);
    for (const sampling of values.sampling.split(',')) {
      const [one, many] = [[], []];
      for (let i = 0; i < rounds; i++) {
        one.push(await rate(url, sampling, 1));
        many.push(await rate(url, sampling, streams));
      }
      report(`${path.basename(base)}, ${sampling}`, one, many);
    }
  } finally {
    server.kill();
  }
}

function report(name, one, many) {
  const best = (rates) => Math.max(...rates.map(({ wall }) => wall));
  const cost = (rates) => 1000 / median(rates.map(({ processor }) => processor));
  console.log(
    [
      name,
      `${best(one).toFixed(0)} and ${best(many).toFixed(0)} tokens/s`,
      `${streams} streams have ${(best(many) / best(one)).toFixed(2)} times`,
      `${cost(one).toFixed(2)} and ${cost(many).toFixed(2)} ms of the processor for a token`,
    ].join('; '),
  );
}

for (const base of values.base) await measure(base);
