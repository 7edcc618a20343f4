import { afterEach, describe, expect, it } from 'vitest';
import { JudgeServer } from '../../../../src/host/evaluation/judgeServer';

let server: JudgeServer | undefined;
afterEach(() => server?.dispose());

const ask = (own: JudgeServer, body: string, { key = own.key, route = '/chat/completions' } = {}) =>
  fetch(`${own.url}${route}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body,
  });

const QUESTION = JSON.stringify({ messages: [{ role: 'user', content: 'Which is better?' }] });

describe('the server that passes a chat model on', () => {
  it('answers chat completions', async () => {
    server = await JudgeServer.start((text) => Promise.resolve(`${text} [[A]]`));
    const answer = await ask(server, QUESTION);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { role: 'assistant', content: 'Which is better? [[A]]' } }],
    });
  });

  it('refuses other keys, routes and bodies', async () => {
    let asked = 0;
    server = await JudgeServer.start(() => Promise.resolve(String(++asked)));
    const status = async (...args: [string, object?]) => (await ask(server!, ...args)).status;
    expect(await status(QUESTION, { key: 'x' })).toBe(401);
    expect(await status(QUESTION, { route: '/models' })).toBe(404);
    expect(await status('{"messages": []}')).toBe(400);
    expect(await status('no JSON')).toBe(400);
    expect(await status(JSON.stringify({ messages: 'x'.repeat(5e6) }))).toBe(400);
    expect(asked).toBe(0);
  });

  it('says what the model says instead of an answer, and ends its work with the request', async () => {
    server = await JudgeServer.start(() => Promise.reject(new Error('no quota')));
    const failed = await ask(server, QUESTION);
    expect(failed.status).toBe(502);
    expect(await failed.text()).toContain('no quota');
    server.dispose();
    const ended = new Promise<void>((resolve) => {
      void JudgeServer.start((_, signal) => {
        signal.addEventListener('abort', () => resolve());
        controller.abort();
        return new Promise<string>(() => undefined);
      }).then((own) => {
        server = own;
        const init = { method: 'POST', headers: { authorization: `Bearer ${own.key}` } };
        const { signal } = controller;
        fetch(`${own.url}/chat/completions`, { ...init, body: QUESTION, signal }).catch(
          () => undefined,
        );
      });
    });
    const controller = new AbortController();
    await ended;
  });
});
