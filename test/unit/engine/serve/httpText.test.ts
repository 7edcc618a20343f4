import { describe, expect, it } from 'vitest';
import { refused, serving } from '../../../support/servingText';

describe('the tokenizer', () => {
  it('is used by clients that have none, in the form of vLLM', async () => {
    const { openai, url, writer } = await serving('x');
    const post = async (path: string, body: object) => {
      const response = await fetch(`${url}/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    const { tokens, count } = await post('tokenize', { prompt: 'Grüße, 世界!' });
    await openai.completions.create({ model: 'base', prompt: 'Grüße, 世界!' });
    expect(tokens).toEqual(writer.requests[0]!.input_ids);
    expect(tokens).toHaveLength(count as number);
    expect(await post('detokenize', { tokens })).toEqual({ prompt: 'Grüße, 世界!' });
    const info = (await (await fetch(`${url}/tokenizer_info`)).json()) as Record<string, string>;
    expect(info['chat_template']).toContain('add_generation_prompt');
    const end = await post('tokenize', { prompt: info['eos_token'], add_special_tokens: false });
    expect(end['tokens']).toHaveLength(1);
    for (const [path, body, message] of [
      ['tokenize', { prompt: 5 }, '"prompt"'],
      ['tokenize', { prompt: 'a', messages: [] }, '"messages" is not supported.'],
      ['tokenize', { prompt: 'a', model: 'b' }, 'The model "b" does not exist'],
      ['detokenize', { tokens: [1, 1e9] }, '"tokens" must be a list of token ids'],
    ] as const) {
      const { error } = (await post(path, body)) as { error?: { message: string } };
      expect(error!.message).toContain(message);
    }
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
    expect(token_logprobs).toEqual([null, ...new Array<number>(tokens!.length - 1).fill(-0.5)]);
    expect(top_logprobs!.slice(0, 2)).toEqual([null, { [tokens![1]!]: -0.5 }]);
    expect(text_offset!.at(-1)).toBe('zero isone two'.length - tokens!.at(-1)!.length);
    const parts: string[] = [];
    for await (const chunk of await openai.completions.create({ ...given, stream: true }))
      parts.push(...(chunk.choices[0]!.logprobs?.tokens ?? []));
    expect(parts).toEqual(tokens);
    expect(
      (await openai.completions.create({ ...given, logprobs: null })).choices[0],
    ).toMatchObject({
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
