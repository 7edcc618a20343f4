import OpenAI, { APIError } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources/chat/completions';
import { afterEach } from 'vitest';
import type { HttpServer } from '../../src/engine/serve/http/server';
import { serveText, type WritesText } from './httpAnswering';

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

type Options = Parameters<typeof serveText>[1];

/** A server that writes a text, until the end of the test, and a client of it. */
export async function serving(
  text: string,
  options: Options & { readonly apiKey?: string } = {},
): Promise<{ readonly openai: OpenAI; readonly writer: WritesText; readonly url: string }> {
  const { apiKey = 'none' } = options;
  const { server, writer } = await serveText(text, options);
  servers.push(server);
  const { url } = server;
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
  return { openai, writer, url };
}

/** A request for a chat completion. */
export const asked: ChatCompletionCreateParamsNonStreaming = {
  model: 'base',
  messages: [{ role: 'user', content: 'hi' }],
};

/** The error of a request that is refused. */
export async function refused(work: PromiseLike<unknown>): Promise<Record<string, unknown>> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`Not refused: ${String(error)}`);
  const { code, param, message } = error;
  return { status: error.status as unknown, code, param, message };
}
