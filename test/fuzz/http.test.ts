import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/shared/random';
import { serveText } from '../support/httpAnswering';
import { mutateBytes, pick } from './mutate';

const COUNT = Number(process.env['FUZZ_INPUTS'] ?? 3000);
const AT_ONCE = 20;
/** Bytes by which the heap may be larger afterwards. */
const MOST_GROWTH = 30e6;

const HEAD = 'Host: 127.0.0.1\r\nContent-Type: application/json\r\n';
const post = (path: string, body: string, further = ''): string =>
  `POST /v1/${path} HTTP/1.1\r\n${HEAD}${further}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const chat = {
  model: 'base+a:0.5',
  messages: [
    { role: 'system', content: 'ä' },
    { role: 'user', content: [{ type: 'text', text: 'hi' }] },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1.0}' } }],
    },
    { role: 'tool', tool_call_id: 'a', content: '3' },
  ],
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
  stop: ['x'],
  seed: 1,
  logprobs: true,
  top_logprobs: 2,
};
const chunked = (body: string): string =>
  `POST /v1/completions HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

const BODIES = [
  JSON.stringify(chat),
  JSON.stringify({ ...chat, stream: true, tool_choice: 'none', min_p: 0.5, n: 1 }),
  JSON.stringify({ messages: [{ role: 'user', content: 'x' }], model: 'base', max_tokens: 3 }),
  JSON.stringify({ ...chat, tool_choice: 'required', n: 2, presence_penalty: 1 }),
].map((text) => Buffer.from(text));

const SEEDS = [
  post('chat/completions', JSON.stringify(chat)),
  post('chat/completions', JSON.stringify({ ...chat, stream: true })),
  post('completions', JSON.stringify({ model: 'base', prompt: [[1, 2, 3]], max_tokens: 4 })),
  post('completions', '{"model":"base","prompt":"x"}', 'Expect: 100-continue\r\n'),
  post(
    'completions',
    '{"model":"base","prompt":["a",[1]],"max_tokens":0,"echo":true,"logprobs":2}',
  ),
  post('rerank', '{"model":"base","query":"a","documents":["b",{"text":"c"}],"top_n":1}'),
  post('tokenize', '{"prompt":"a b","add_special_tokens":false}'),
  post('detokenize', '{"tokens":[1,2,3]}'),
  chunked('{"model":"base","prompt":"x","stream":true}'),
  `GET /v1/models HTTP/1.1\r\n${HEAD}\r\n`,
  `GET /v1/models/base+b HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${HEAD}\r\n`,
].map((text) => Buffer.from(text));

/**
 * Sends bytes; everything that comes back until the other side closes. `isAll`: half-closes after
 * them, as clients do that are gone.
 */
function exchange(port: number, bytes: Uint8Array, isAll = false): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes);
      if (isAll) socket.end();
    });
    socket.setEncoding('utf8').on('data', (part: string) => (text += part));
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
}

/** A chat with that body. */
const ask = (port: number, body: Uint8Array): Promise<string> => {
  const head = `POST /v1/chat/completions HTTP/1.1\r\n${HEAD}Connection: close\r\n`;
  const start = Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`);
  return exchange(port, Buffer.concat([start, body]));
};

const sockets = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

/** Resolves when the server has closed the connection. */
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on('error', () => undefined).on('close', () => resolve());
    socket.resume();
  });

describe('the server', () => {
  it(`answers ${COUNT} damaged requests or closes them, and nothing grows`, async () => {
    const { server, writer } = await serveText('one two');
    const port = Number(new URL(server.url).port);
    const random = createRandom(Number(process.env['FUZZ_SEED'] ?? 5), 'http');
    const open = sockets();
    const statuses = new Set<string>();
    const damaged = (seeds: readonly Buffer[]) => mutateBytes(pick(seeds, random), seeds, random);
    const round = async () => {
      const answers = Array.from({ length: AT_ONCE }, (_, i) =>
        i % 2 === 0 ? exchange(port, damaged(SEEDS), true) : ask(port, damaged(BODIES)),
      );
      for (const [i, answer] of (await Promise.all(answers)).entries()) {
        if (answer === '' && i % 2 === 0) continue;
        expect(answer).toMatch(/^HTTP\/1\.1 (?:[124]\d\d|501|505) /);
        statuses.add(answer.slice(9, 12));
      }
      writer.requests.length = 0;
    };
    await round();
    const before = process.memoryUsage().heapUsed;
    for (let i = AT_ONCE; i < COUNT; i += AT_ONCE) await round();
    expect([...statuses]).toEqual(expect.arrayContaining(['200', '400', '404']));
    await expect.poll(sockets).toBe(open);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(MOST_GROWTH);
    expect(await ask(port, BODIES[0]!)).toContain('200 OK');
    await server.close();
  });

  it('closes connections that send nothing, or too slowly, and goes on answering', async () => {
    const { server } = await serveText('one two');
    const port = Number(new URL(server.url).port);
    const open = Array.from({ length: 40 }, () => connect(port, '127.0.0.1'));
    const ends = open.map(closed);
    open.slice(0, 20).forEach((socket) => socket.write('POST /v1/completions HTTP/1.1\r\nHost: '));
    const dripping = setInterval(() => open[0]!.write('x'), 1000);
    expect(await ask(port, BODIES[0]!)).toContain('200 OK');
    await Promise.all(ends);
    clearInterval(dripping);
    expect(await ask(port, BODIES[0]!)).toContain('200 OK');
    await server.close();
  });

  it('keeps nothing of bodies that come slowly, stop in the middle, or are cut', async () => {
    const { server, writer } = await serveText('one two');
    const port = Number(new URL(server.url).port);
    const open = sockets();
    const slow = Array.from({ length: 60 }, async (_, i) => {
      const bytes = SEEDS[i % 2]!;
      const socket = connect(port, '127.0.0.1');
      const end = closed(socket);
      for (let at = 0; at < bytes.length && !socket.destroyed; at += 50) {
        socket.write(bytes.subarray(at, at + 50));
        await new Promise((resolve) => setImmediate(resolve));
        if (i % 3 === 1 && at > 200) socket.end();
        if (i % 3 === 2 && at > 200) socket.resetAndDestroy();
        if (i % 3 > 0 && at > 200) break;
      }
      if (i % 3 === 0) socket.end();
      await end;
    });
    await Promise.all(slow);
    await expect.poll(sockets).toBe(open);
    expect(writer.requests).toHaveLength(20);
    await server.close();
  });

  it('ends although clients hold half-sent requests and unread answers', async () => {
    const { server } = await serveText('x '.repeat(20_000));
    const port = Number(new URL(server.url).port);
    const open = [SEEDS[1]!, SEEDS[1]!.subarray(0, 200), new Uint8Array()].map((bytes) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined).write(bytes);
      return socket.pause();
    });
    expect(await ask(port, BODIES[2]!)).toContain('200 OK');
    await server.close();
    for (const socket of open) socket.destroy();
  });
});
