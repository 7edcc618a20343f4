import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { asked, refused, serving } from '../../../support/servingText';

const tools: OpenAI.ChatCompletionTool[] = [
  { type: 'function', function: { name: 'find', parameters: { type: 'object', properties: {} } } },
];
const CALLS =
  'Let me look. <tool_call>\n{"name": "find", "arguments": {"q": "x", "n": 1.0}}\n</tool_call>';

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

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';
const imagePart = (url: string, detail = 'auto') => ({
  type: 'image_url' as const,
  image_url: { url, detail: detail as 'auto' },
});
const withImage = (url: string, detail = 'auto', role = 'user') => [
  { role: role as 'user', content: [imagePart(url, detail)] },
];

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
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      'messages.0.content.0.image_url',
    ],
    [{ messages: withImage('https://a/b.png') }, 'messages.0.content.0.image_url.url'],
    [{ messages: withImage('file:///etc/passwd') }, 'messages.0.content.0.image_url.url'],
    [{ messages: withImage('a.png') }, 'messages.0.content.0.image_url.url'],
    [{ messages: withImage('data:image/png;base64,A?==') }, 'messages.0.content.0.image_url.url'],
    [{ messages: withImage(PIXEL, 'low') }, 'messages.0.content.0.image_url.detail'],
    [{ messages: withImage(PIXEL, 'auto', 'assistant') }, 'messages.0.content.0'],
    [
      { messages: [{ role: 'user', content: Array.from({ length: 65 }, () => imagePart(PIXEL)) }] },
      'messages',
    ],
    [{ messages: Array.from({ length: 65 }, () => withImage(PIXEL)[0]!) }, 'messages'],
    [{ chat_template_kwargs: { messages: [] } }, 'chat_template_kwargs.messages'],
  ])('%j', async (further, param) => {
    const { openai } = await serving('x');
    const error = await refused(openai.chat.completions.create({ ...asked, ...further }));
    expect(error).toMatchObject({ status: 400, param });
    expect(error['message']).toContain(param);
  });

  it('an image for a model that reads none', async () => {
    const { openai } = await serving('x');
    const messages = withImage(PIXEL);
    const error = await refused(openai.chat.completions.create({ ...asked, messages }));
    expect(error).toMatchObject({ status: 400 });
    expect(error['message']).toContain('The row has 1 image. The model reads no images.');
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
    const { openai: bare } = await serving('x', { chat_template: null });
    expect(await refused(bare.chat.completions.create(asked))).toMatchObject({
      status: 400,
      message: expect.stringContaining('no chat template') as string,
    });
  });
});
