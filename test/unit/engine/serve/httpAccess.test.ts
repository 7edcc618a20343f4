import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { startServer } from '../../../../src/engine/serve/http/server';
import { asked, serving } from '../../../support/servingText';

/** A request as it stands, and what comes back. */
function raw(
  url: string,
  options: {
    readonly method?: string;
    readonly path?: string;
    readonly headers?: object;
    readonly body?: string;
  },
): Promise<{ readonly status: number; readonly headers: object; readonly body: string }> {
  const { method = 'GET', path = '/v1/models', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, headers: { ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: text }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('access', () => {
  it('needs the token, if there is one', async () => {
    const { openai, url } = await serving('x', { token: 'secret', apiKey: 'secret' });
    expect((await openai.models.list()).data).toHaveLength(3);
    for (const authorization of ['', 'Bearer wrong', 'secret', 'Bearer secret2']) {
      const { status, body } = await raw(url, { headers: { authorization } });
      expect([status, body]).toEqual([401, expect.stringContaining('invalid_api_key')]);
    }
  });

  it('is not given under another name, nor to pages, and no page may read', async () => {
    const { url } = await serving('x');
    const { port } = new URL(url);
    const of = async (headers: object) => (await raw(url, { headers })).status;
    expect(await of({ host: `localhost:${port}` })).toBe(200);
    expect(await of({ host: `[::1]:${port}` })).toBe(200);
    for (const host of ['evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'localhost@evil'])
      expect(await of({ host }), host).toBe(403);
    expect(await of({ origin: 'https://evil.example' })).toBe(403);
    expect(await of({ origin: 'null' })).toBe(403);
    const { headers } = await raw(url, {});
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('is by JSON alone, with an error for each other request', async () => {
    const { url } = await serving('x');
    const path = '/v1/chat/completions';
    const json = { 'content-type': 'application/json' };
    const of = async (given: Parameters<typeof raw>[1]) => {
      const { status, body } = await raw(url, given);
      expect(JSON.parse(body)).toMatchObject({ error: { message: expect.any(String) as string } });
      return status;
    };
    expect(
      await of({ path, method: 'POST', body: '{}', headers: { 'content-type': 'text/plain' } }),
    ).toBe(415);
    expect(await of({ path, method: 'POST', body: '{', headers: json })).toBe(400);
    expect(await of({ path, method: 'POST', body: '[]', headers: json })).toBe(400);
    expect(await of({ path, method: 'POST', body: '{"n":1,"n":1}', headers: json })).toBe(400);
    expect(await of({ path, method: 'POST', body: '['.repeat(100_000), headers: json })).toBe(400);
    const deep = `{"model":"base","prompt":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    expect(await of({ path: '/v1/completions', method: 'POST', body: deep, headers: json })).toBe(
      400,
    );
    expect(await of({ path, method: 'GET' })).toBe(405);
    expect(await of({ path: '/v1/models', method: 'DELETE' })).toBe(405);
    expect(await of({ path: '/v1/audio' })).toBe(404);
    expect(await of({ path: '/v1/models/%ff' })).toBe(404);
    const long = { ...json, 'content-length': String(5 << 20), expect: '100-continue' };
    expect(await of({ path, method: 'POST', headers: long })).toBe(413);
  });
});

it('frees the place of a client that is gone', async () => {
  const { openai, writer } = await serving('x '.repeat(5000));
  const stream = await openai.chat.completions.create({ ...asked, stream: true });
  await stream[Symbol.asyncIterator]().next();
  stream.controller.abort();
  const { signal } = writer.requests[0]!;
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  expect(signal.aborted).toBe(true);
});

it('says that a port is taken, and that models are loading', async () => {
  const server = await startServer({ host: '127.0.0.1', token: null }, 0);
  const { port } = new URL(server.url);
  await expect(startServer({ host: '127.0.0.1', token: null }, Number(port))).rejects.toThrow(
    `The port ${port} is taken by another program.`,
  );
  expect((await raw(server.url, {})).status).toBe(503);
  await server.close();
});
