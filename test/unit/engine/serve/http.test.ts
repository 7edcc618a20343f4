import { request } from 'node:http';
import OpenAI, { APIError } from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources/chat/completions';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpServer } from '../../../../src/engine/serve/http/server';
import { startServer } from '../../../../src/engine/serve/http/server';
import { serveText, type WritesText } from '../../../support/httpAnswering';

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

type Options = Parameters<typeof serveText>[1];

async function serving(
  text: string,
  options: Options & { readonly apiKey?: string } = {},
): Promise<{ readonly openai: OpenAI; readonly writer: WritesText; readonly url: string }> {
  const { apiKey = 'none' } = options;
  const served = await serveText(text, options);
  server = served.server;
  const { url } = server;
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
  return { openai, writer: served.writer, url };
}

const asked: ChatCompletionCreateParamsNonStreaming = {
  model: 'base',
  messages: [{ role: 'user', content: 'hi' }],
};
const tools: OpenAI.ChatCompletionTool[] = [
  { type: 'function', function: { name: 'find', parameters: { type: 'object', properties: {} } } },
];
const CALLS =
  'Let me look. <tool_call>\n{"name": "find", "arguments": {"q": "x", "n": 1.0}}\n</tool_call>';

/** The error of a request that is refused. */
async function refused(work: PromiseLike<unknown>): Promise<Record<string, unknown>> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`Not refused: ${String(error)}`);
  const { code, param, message } = error;
  return { status: error.status as unknown, code, param, message };
}

/** Parts of a streamed chat, put together. */
async function streamed(openai: OpenAI, further: object = {}) {
  const stream = await openai.chat.completions.create({ ...asked, ...further, stream: true });
  let [content, reasoning, parts] = ['', '', 0];
  const calls: unknown[] = [];
  const ends: unknown[] = [];
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    const delta = choice?.delta as Record<string, string> | undefined;
    if (delta?.['content']) parts++;
    content += delta?.['content'] ?? '';
    reasoning += delta?.['reasoning_content'] ?? '';
    calls.push(...(choice?.delta.tool_calls ?? []));
    if (choice?.finish_reason) ends.push(choice.finish_reason);
    if (chunk.usage) ends.push(chunk.usage.total_tokens);
  }
  return { content, reasoning, calls, ends, parts };
}

describe('models', () => {
  it('are the base, the base with each adapter, and sums of them', async () => {
    const { openai, writer } = await serving('x');
    const list = await openai.models.list();
    expect(list.data.map(({ id }) => id)).toEqual(['base', 'base+a', 'base+b']);
    expect(await openai.models.retrieve('base+a')).toMatchObject({ id: 'base+a', object: 'model' });
    await openai.chat.completions.create({ ...asked, model: 'base+b:0.5+a' });
    expect(writer.requests[0]!.mix).toEqual([
      { adapter: 0, scale: 1 },
      { adapter: 1, scale: 0.5 },
    ]);
  });

  it.each(['gpt-4o', 'base+c', 'base+a:x', 'base+', 'a', '', 'base+a:1e999'])(
    'that are not there are an error: %j',
    async (model) => {
      const { openai } = await serving('x');
      const error = await refused(openai.chat.completions.create({ ...asked, model }));
      expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    },
  );
});

describe('a chat completion', () => {
  it('is the answer with its counts of tokens', async () => {
    const { openai } = await serving('Hello you.');
    const answer = await openai.chat.completions.create(asked);
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'base',
      choices: [
        { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Hello you.' } },
      ],
    });
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage!;
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    expect(answer.usage!.prompt_tokens_details).toEqual({ cached_tokens: 2 });
  });

  it('is the same as a stream', async () => {
    const { openai } = await serving('Grüße, 世界! Fine.');
    const { content, ends, parts } = await streamed(openai, {
      stream_options: { include_usage: true },
    });
    expect(content).toBe('Grüße, 世界! Fine.');
    expect(parts).toBeGreaterThan(3);
    expect(ends).toEqual(['stop', expect.any(Number)]);
  });

  it('ends before a stop text, also in the middle of a token, of which nothing is sent', async () => {
    const { openai } = await serving('one two three four');
    const answer = await openai.chat.completions.create({ ...asked, stop: ['xx', 'o th'] });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: 'one tw' },
    });
    expect(await streamed(openai, { stop: 'o th' })).toMatchObject({
      content: 'one tw',
      ends: ['stop'],
    });
    expect(await streamed(openai, { stop: 'four!' })).toMatchObject({
      content: 'one two three four',
    });
  });

  it('ends after max_completion_tokens', async () => {
    const { openai } = await serving('one two three four');
    const answer = await openai.chat.completions.create({ ...asked, max_completion_tokens: 2 });
    expect(answer.choices[0]!.finish_reason).toBe('length');
    expect(answer.usage!.completion_tokens).toBe(2);
  });

  it('gives log-probabilities, also streamed', async () => {
    const { openai } = await serving('one two');
    const given = { ...asked, logprobs: true, top_logprobs: 1 };
    const { choices, usage } = await openai.chat.completions.create(given);
    const places = choices[0]!.logprobs!.content!;
    expect(places).toHaveLength(usage!.completion_tokens);
    expect(places.map(({ token }) => token).join('')).toBe('one two');
    expect(places[0]).toMatchObject({ logprob: -0.5, top_logprobs: [{ logprob: -0.5 }] });
    const chunks: string[] = [];
    for await (const chunk of await openai.chat.completions.create({ ...given, stream: true }))
      chunks.push(...(chunk.choices[0]!.logprobs?.content ?? []).map(({ token }) => token));
    expect(chunks.join('')).toBe('one two');
  });

  it('passes the settings of sampling on', async () => {
    const { openai, writer } = await serving('x');
    const sampling = { temperature: 0.3, top_p: 0.9, seed: 7 };
    const penalties = { frequency_penalty: 0.5, presence_penalty: -1 };
    const further = { top_k: 5, min_p: 0.1, repetition_penalty: 1.2, ...penalties };
    await openai.chat.completions.create({ ...asked, ...sampling, ...further });
    expect(writer.requests[0]!.sampling).toEqual({ ...sampling, ...further });
  });

  it('has calls of tools, also streamed, with what JSON would lose', async () => {
    const { openai } = await serving(CALLS);
    const { choices } = await openai.chat.completions.create({ ...asked, tools });
    const { message, finish_reason } = choices[0]!;
    const wanted = { name: 'find', arguments: '{"q": "x", "n": 1.0}' };
    expect(finish_reason).toBe('tool_calls');
    expect(message.content).toBe('Let me look.');
    expect(message.tool_calls).toMatchObject([{ type: 'function', function: wanted }]);
    expect(message.tool_calls![0]!.id).toMatch(/^[a-z0-9]{9}$/);
    expect(await streamed(openai, { tools })).toMatchObject({
      content: 'Let me look.',
      calls: [{ index: 0, type: 'function', function: wanted }],
      ends: ['tool_calls'],
    });
  });

  it('leaves what looks like a call in the text without tools, and with tool_choice none', async () => {
    const { openai, writer } = await serving(CALLS);
    for (const further of [{}, { tools, tool_choice: 'none' as const }]) {
      const { choices } = await openai.chat.completions.create({ ...asked, ...further });
      expect(choices[0]!.message.content).toContain('<tool_call>');
      expect(choices[0]!.finish_reason).toBe('stop');
      expect((await streamed(openai, further)).content).toBe(choices[0]!.message.content);
    }
    const lengths = writer.requests.map(({ input_ids }) => input_ids.length);
    expect(new Set(lengths).size).toBe(1);
  });

  it('is several answers by n, also streamed', async () => {
    const { openai } = await serving('Yes.');
    const { choices, usage } = await openai.chat.completions.create({ ...asked, n: 3 });
    expect(choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, 'Yes.'],
      [1, 'Yes.'],
      [2, 'Yes.'],
    ]);
    const one = (await openai.chat.completions.create(asked)).usage!;
    expect(usage).toMatchObject({
      prompt_tokens: one.prompt_tokens,
      completion_tokens: 3 * one.completion_tokens,
    });
    const ends: number[] = [];
    for await (const chunk of await openai.chat.completions.create({
      ...asked,
      n: 3,
      stream: true,
    }))
      for (const { index, finish_reason } of chunk.choices) if (finish_reason) ends.push(index);
    expect(ends.sort()).toEqual([0, 1, 2]);
  });

  it('keeps a call that cannot be read as text', async () => {
    const { openai } = await serving('<tool_call>{"name": "find", "argum');
    const { choices } = await openai.chat.completions.create({ ...asked, tools });
    expect(choices[0]!.message).toMatchObject({ content: '<tool_call>{"name": "find", "argum' });
    expect((await streamed(openai, { tools })).content).toContain('"argum');
  });

  it('tells reasoning apart', async () => {
    const { openai } = await serving('<think>\nHm, so.\n</think>\nYes.');
    const { choices } = await openai.chat.completions.create(asked);
    const wanted = { reasoning_content: 'Hm, so.', content: 'Yes.' };
    expect(choices[0]!.message).toMatchObject(wanted);
    expect(await streamed(openai)).toMatchObject({ reasoning: 'Hm, so.', content: 'Yes.' });
  });

  it('continues a chat with a call and its result', async () => {
    const { openai, writer } = await serving('x');
    const call = {
      id: 'abcdefghi',
      type: 'function' as const,
      function: { name: 'find', arguments: '{"n": 1.0}' },
    };
    await openai.chat.completions.create({
      ...asked,
      tools,
      messages: [
        {
          role: 'developer',
          content: [
            { type: 'text', text: 'Be ' },
            { type: 'text', text: 'brief.' },
          ],
        },
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: null, refusal: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'abcdefghi', content: '3' },
      ],
    });
    expect(writer.requests[0]!.input_ids.length).toBeGreaterThan(20);
  });
});

describe('a text completion', () => {
  it('continues a text or its tokens, streamed or not', async () => {
    const { openai, writer } = await serving('one two three');
    const given = { model: 'base', prompt: 'zero', max_tokens: 50, logprobs: 1 };
    const { choices } = await openai.completions.create(given);
    expect(choices[0]).toMatchObject({ text: 'one two three', finish_reason: 'stop' });
    expect(choices[0]!.logprobs!.tokens!.join('')).toBe('one two three');
    let text = '';
    const prompt = writer.requests[0]!.input_ids;
    for await (const { choices: own } of await openai.completions.create({
      ...given,
      prompt: [...prompt],
      stream: true,
    }))
      text += own[0]!.text;
    expect(text).toBe('one two three');
    expect(writer.requests[1]!.input_ids).toEqual(prompt);
  });

  it('continues several prompts, each several times, streamed or not', async () => {
    const { openai, writer } = await serving('one two');
    const prompt = [[1, 2, 3], [4, 5], [6]];
    const given = { model: 'base', prompt, n: 2, seed: 5 };
    const { choices, usage } = await openai.completions.create(given);
    expect(choices.map(({ index, text }) => [index, text])).toEqual(
      [0, 1, 2, 3, 4, 5].map((index) => [index, 'one two']),
    );
    expect(usage!.prompt_tokens).toBe(6);
    const asked = writer.requests.map(({ input_ids, sampling }) => [input_ids, sampling.seed]);
    expect(asked).toEqual(
      prompt.flatMap((ids) => [
        [ids, 5],
        [ids, 6],
      ]),
    );
    const texts: Record<number, string> = {};
    for await (const chunk of await openai.completions.create({ ...given, stream: true }))
      for (const { index, text } of chunk.choices) texts[index] = (texts[index] ?? '') + text;
    expect(Object.values(texts)).toEqual(new Array(6).fill('one two'));
    const more = openai.completions.create({ ...given, prompt: new Array(200).fill('a') });
    expect(await refused(more)).toMatchObject({ status: 400, param: 'prompt' });
  });

  it('ends all when one of several fails', async () => {
    const { openai, writer } = await serving('one two');
    const generate = writer.generate.bind(writer);
    writer.generate = (request) =>
      request.input_ids[0] === 4 ? Promise.reject(new Error('no')) : generate(request);
    const error = await refused(openai.completions.create({ model: 'base', prompt: [[1], [4]] }));
    expect(error).toMatchObject({ status: 500 });
    expect(writer.requests[0]!.signal.aborted).toBe(true);
  });

  it('begins with its prompt and its log-probabilities by echo, streamed or not', async () => {
    const { openai, writer } = await serving('one two');
    const given = { model: 'base', prompt: 'zero is', max_tokens: 50, logprobs: 1, echo: true };
    const { choices } = await openai.completions.create(given);
    expect(choices[0]!.text).toBe('zero isone two');
    const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]!.logprobs!;
    expect(tokens!.join('')).toBe('zero isone two');
    expect(token_logprobs).toEqual([null, ...new Array(tokens!.length - 1).fill(-0.5)]);
    expect(top_logprobs!.slice(0, 2)).toEqual([null, { [tokens![1]!]: -0.5 }]);
    expect(text_offset!.at(-1)).toBe('zero isone two'.length - tokens!.at(-1)!.length);
    const parts: string[] = [];
    for await (const chunk of await openai.completions.create({ ...given, stream: true }))
      parts.push(...(chunk.choices[0]!.logprobs?.tokens ?? []));
    expect(parts).toEqual(tokens);
    const { logprobs: _, ...plain } = given;
    expect((await openai.completions.create(plain)).choices[0]).toMatchObject({
      text: 'zero isone two',
      logprobs: null,
    });
    const ids = writer.requests[0]!.input_ids;
    const none = { ...given, prompt: [...ids], max_tokens: 0 };
    expect((await openai.completions.create(none)).choices[0]).toMatchObject({
      text: 'zero is',
      finish_reason: 'length',
    });
    const error = await refused(openai.completions.create({ ...none, echo: false }));
    expect(error).toMatchObject({ status: 400, param: 'max_tokens' });
  });

  it('has 16 tokens unless more are asked for', async () => {
    const { openai, writer } = await serving('x');
    await openai.completions.create({ model: 'base', prompt: 'a' });
    expect(writer.requests[0]!.max_new_tokens).toBe(16);
  });
});

describe('what is not supported is refused by name', () => {
  it.each<[object, string]>([
    [{ n: 0 }, 'n'],
    [{ n: 129 }, 'n'],
    [{ logit_bias: { 5: 1 } }, 'logit_bias'],
    [{ frequency_penalty: 2.5 }, 'frequency_penalty'],
    [{ presence_penalty: -3 }, 'presence_penalty'],
    [{ echo: true }, 'echo'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { other: true } }, 'stream_options.other'],
    [{ stream: true, stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
    [{ response_format: { type: 'text', schema: {} } }, 'response_format.schema'],
    [
      { response_format: { type: 'json_schema', json_schema: { schema: {}, mode: 1 } } },
      'response_format.json_schema.mode',
    ],
    [
      {
        response_format: { type: 'json_schema', json_schema: { schema: { pattern: 'a' } } },
      },
      'response_format',
    ],
    [{ response_format: { type: 'grammar' } }, 'response_format'],
    [{ response_format: { type: 'json_object' }, tools }, 'response_format'],
    [{ tools, tool_choice: 'required' }, 'tool_choice'],
    [{ tool_choice: { type: 'function', function: { name: 'x' } } }, 'tool_choice'],
    [{ tools: [{ type: 'web_search' }] }, 'tools'],
    [{ audio: {} }, 'audio'],
    [{ reasoning_effort: 'low' }, 'reasoning_effort'],
    [{ temperature: -1 }, 'temperature'],
    [{ top_p: 2 }, 'top_p'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 3, max_completion_tokens: 4 }, 'max_tokens'],
    [{ stop: '' }, 'stop'],
    [{ seed: 1.5 }, 'seed'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'function', content: 'x' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user', content: 'x', weight: 1 }] }, 'messages.0.weight'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages.0.content.0'],
    [{ chat_template_kwargs: { messages: [] } }, 'chat_template_kwargs.messages'],
  ])('%j', async (further, param) => {
    const { openai } = await serving('x');
    const error = await refused(openai.chat.completions.create({ ...asked, ...further }));
    expect(error).toMatchObject({ status: 400, param });
    expect(error['message']).toContain(param);
  });

  it('but not what is left out by null or says nothing', async () => {
    const { openai } = await serving('x');
    const empty = {
      n: 1,
      logit_bias: null,
      user: 'me',
      store: false,
      response_format: { type: 'text' as const },
    };
    await openai.chat.completions.create({ ...asked, ...empty });
  });

  it('tools, where the template has no place for them; chats without a template', async () => {
    const plain = "{% for m in messages %}{{ m.role + ': ' + (m.content or '') }}{% endfor %}";
    const { openai } = await serving('x', { chat_template: plain });
    const error = await refused(openai.chat.completions.create({ ...asked, tools }));
    expect(error).toMatchObject({ status: 400, param: 'tools' });
    await server!.close();
    const { openai: bare } = await serving('x', { chat_template: null });
    expect(await refused(bare.chat.completions.create(asked))).toMatchObject({
      status: 400,
      message: expect.stringContaining('no chat template') as string,
    });
  });
});

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
  server = await startServer({ host: '127.0.0.1', token: null }, 0);
  const { port } = new URL(server.url);
  await expect(startServer({ host: '127.0.0.1', token: null }, Number(port))).rejects.toThrow(
    `The port ${port} is taken by another program.`,
  );
  expect((await raw(server.url, {})).status).toBe(503);
});
