// npm run fuzz:server: broken requests to a real `lora serve --http`, on Linux: damaged bytes,
// wrong fields, bodies that come slowly or never, connections that are half open or cut, answers
// that nobody reads. Its memory and its handles must not grow, and it must continue answering.
//
//   --requests N  100000   --seed N  1   --base MODEL  the small Llama of the fixtures
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    base: { type: 'string', default: path.join(root, 'test/fixtures/llama/base') },
  },
});
const requests = Number(values.requests);
const AT_ONCE = 100;
/** The share of requests after which the memory counts: caches are full by then. */
const WARM_UP = 0.2;
const MOST_GROWTH_MB = 40;

let state = Number(values.seed) >>> 0;
/** From 0 to 1 (mulberry32). */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } };
const chat = { model: 'base', messages: [{ role: 'user', content: 'ä b' }], max_tokens: 2 };
const schema = { type: 'object', properties: { a: { enum: [1, 'x'] } }, required: ['a'] };
const format = { type: 'json_schema', json_schema: { name: 'n', schema } };
const BODIES = [
  ['chat/completions', chat],
  ['chat/completions', { ...chat, stream: true, stream_options: { include_usage: true } }],
  ['chat/completions', { ...chat, tools: [tool], tool_choice: 'required', n: 2 }],
  ['chat/completions', { ...chat, response_format: format, seed: 1, top_k: 3 }],
  ['completions', { model: 'base', prompt: 'a', max_tokens: 2, stop: ['x'], logprobs: 1 }],
  ['completions', { model: 'base', prompt: [[1, 2], [3]], max_tokens: 0, echo: true, logprobs: 2 }],
  ['embeddings', { model: 'base', input: ['a', [1, 2]] }],
  ['rerank', { model: 'base', query: 'a', documents: ['b', { text: 'c' }], top_n: 1 }],
  ['tokenize', { prompt: 'a b' }],
  ['detokenize', { tokens: [1, 2] }],
];
const ODD = [null, -1, 1e99, 0.5, '', 'x'.repeat(3000), [], {}, [[[]]], true, '\ud800', 2 ** 53];

/** A body in which one value somewhere is another one. */
function withOddValue(value) {
  if (random() < 0.3 || typeof value !== 'object' || value === null) return pick(ODD);
  const copy = JSON.parse(JSON.stringify(value));
  const key = random() < 0.1 ? 'unknown' : pick(Object.keys(copy));
  if (key !== undefined) copy[key] = withOddValue(copy[key]);
  return copy;
}

/** Bytes with some changed, left out, repeated or cut. */
function damaged(bytes) {
  const copy = Buffer.from(bytes);
  for (let i = below(4); i >= 0; i--) copy[below(copy.length)] = below(256);
  const [from, to] = [below(copy.length), below(copy.length)].sort((a, b) => a - b);
  switch (below(4)) {
    case 0:
      return copy.subarray(0, to);
    case 1:
      return Buffer.concat([copy.subarray(0, from), copy.subarray(to)]);
    case 2:
      return Buffer.concat([copy.subarray(0, to), copy.subarray(from)]);
    default:
      return copy;
  }
}

function requestOf([name, body], length) {
  const text = JSON.stringify(body);
  const head = `POST /v1/${name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`;
  return Buffer.from(
    `${head}Connection: close\r\nContent-Length: ${length ?? Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

/** How clients behave; each is given what to send, and its socket. */
const CLIENTS = {
  damaged: (socket, own) => socket.end(damaged(requestOf(own))),
  wrong: (socket, [name, body]) => socket.write(requestOf([name, withOddValue(body)])),
  'half open': (socket, own) => {
    socket.write(requestOf(own).subarray(0, below(200)));
    setTimeout(() => socket.end(), below(100));
  },
  cut: (socket, own) => {
    socket.write(requestOf(own));
    setTimeout(() => socket.resetAndDestroy(), below(30));
  },
  slow: (socket, own) => {
    const bytes = requestOf(own);
    let at = 0;
    const timer = setInterval(() => {
      socket.write(bytes.subarray(at, at + 40));
      at += 40;
      if (at >= bytes.length) clearInterval(timer);
    }, 5);
    socket.on('close', () => clearInterval(timer));
  },
  'too short': (socket, own) => {
    socket.write(requestOf(own, 10_000));
    setTimeout(() => socket.destroy(), below(100));
  },
  unread: (socket, own) => {
    socket.pause();
    socket.write(requestOf(own));
    setTimeout(() => socket.destroy(), below(50));
  },
};
const WEIGHTS = {
  damaged: 40,
  wrong: 40,
  'half open': 4,
  cut: 5,
  slow: 4,
  'too short': 4,
  unread: 3,
};
const kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) => new Array(weight).fill(kind));

/** What comes back until the connection is closed. */
function exchange(port, send) {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => send(socket));
    socket.setEncoding('utf8').on('data', (part) => (text += part));
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
}

const cli = path.join(root, 'dist/cli.js');
const server = spawn(
  process.execPath,
  [cli, 'serve', '--http', '--port', '0', '--base', values.base, '--json'],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);

async function address() {
  for await (const line of createInterface({ input: server.stdout })) {
    const event = JSON.parse(line);
    if (event.kind === 'ready') return event.url;
  }
  throw new Error('The server has ended.');
}

/** Megabytes and handles of the server, once no request is at work. */
async function usage(port) {
  await new Promise((resolve) => setTimeout(resolve, 7000)); // longer than connections are kept
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const mb = Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
  const fds = readdirSync(`/proc/${server.pid}/fd`).length;
  const answer = await exchange(port, (socket) => socket.write(requestOf(BODIES[0])));
  if (!answer.includes(' 200 OK')) throw new Error(`It answers no more: ${answer}`);
  return { mb, fds };
}

const sent = {};
const statuses = {};
async function one(port) {
  const kind = pick(kinds);
  sent[kind] = (sent[kind] ?? 0) + 1;
  const own = pick(BODIES);
  const answer = await exchange(port, (socket) => CLIENTS[kind](socket, own));
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? (answer === '' ? 'closed' : 'odd');
  statuses[status] = (statuses[status] ?? 0) + 1;
  if (status === 'odd' || status === '500') throw new Error(`${kind}: ${answer.slice(0, 1000)}`);
}

/** Requests of some clients at once. */
async function many(port, count) {
  let left = count;
  const client = async () => {
    while (left-- > 0) await one(port);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

try {
  const port = Number(new URL(await address()).port);
  const started = performance.now();
  const first = Math.round(WARM_UP * requests);
  await many(port, first);
  const before = await usage(port);
  await many(port, requests - first);
  const after = await usage(port);
  console.log(`${requests} requests in ${Math.round((performance.now() - started) / 1000)} s`);
  console.log('sent:', JSON.stringify(sent));
  console.log('answered:', JSON.stringify(statuses));
  console.log(`memory: ${before.mb.toFixed(0)} MB, then ${after.mb.toFixed(0)} MB`);
  console.log(`handles: ${before.fds}, then ${after.fds}`);
  if (after.mb - before.mb > MOST_GROWTH_MB) throw new Error('The memory has grown.');
  if (after.fds > before.fds) throw new Error('Handles are left.');
} finally {
  server.kill();
}
