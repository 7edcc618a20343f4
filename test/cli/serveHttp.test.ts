import { cpSync } from 'node:fs';
import path from 'node:path';
import type { ChatCompletionMessageFunctionToolCall } from 'openai/resources/chat/completions';
import type { EmbeddingCreateParams } from 'openai/resources/embeddings';
import { afterEach, describe, expect, it } from 'vitest';
import { cli, editJson, fixtures, tempFolder } from '../support/commandLine';
import { HttpServer } from '../../src/host/server/httpServer';
import { TOOL_TEMPLATE } from '../support/httpAnswering';
import { ServedHttp } from '../support/servedHttp';
import { dist } from '../support/tfjs';

const base = path.join(fixtures, 'llama/base');
const adapters = ['llama/lora-qv', 'llama/all-linear'].map((name) =>
  path.join(fixtures, name, 'adapter'),
);
const given = adapters.flatMap((own) => ['--adapter', own]);

let served: ServedHttp | undefined;
afterEach(() => served?.end());

function serving(...args: readonly string[]): ServedHttp {
  served = new ServedHttp(['--base', base, ...args]);
  return served;
}

/** What `lora generate` writes. */
async function generated(prompt: string, ...own: readonly string[]): Promise<string> {
  const args = own.flatMap((adapter) => ['--adapter', adapter]);
  const settings = ['--base-dtype', 'float32', '--max-new-tokens', '12', '--json'];
  const { stdout } = await cli(
    'generate',
    '--base',
    base,
    ...args,
    '--prompt',
    prompt,
    ...settings,
  );
  return (lastLine(stdout) as { text: string }).text;
}

/** The result of a command: warnings stand before it. */
const lastLine = (stdout: string): unknown => JSON.parse(stdout.trimEnd().split('\n').at(-1)!);

const greedyFor = (max_tokens: number) => ({ temperature: 0, max_tokens });
const greedy = greedyFor(12);

describe('lora serve --http', () => {
  it('answers many requests with several adapters at once, each as lora generate does', async () => {
    const running = serving(...given);
    const openai = await running.client();
    expect((await running.ready).models).toEqual(['base', 'base+lora-qv', 'base+all-linear']);
    const prompts = ['the old mill', 'Paris is'];
    const models = { base: [], 'base+lora-qv': [adapters[0]!], 'base+all-linear': [adapters[1]!] };
    const asked = Object.keys(models).flatMap((model) =>
      prompts.map((prompt) => ({ model, prompt, ...greedy })),
    );
    const texts = await Promise.all(
      asked.map(async (request) => (await openai.completions.create(request)).choices[0]!.text),
    );
    const wanted: string[] = [];
    for (const own of Object.values(models))
      for (const prompt of prompts) wanted.push(await generated(prompt, ...own));
    expect(texts).toEqual(wanted);
    let streamed = '';
    for await (const chunk of await openai.completions.create({ ...asked[0]!, stream: true }))
      streamed += chunk.choices[0]!.text;
    expect(streamed).toBe(wanted[0]);
  });

  it('mixes adapters by their scales, and continues a chat from what it has read', async () => {
    const openai = await serving(...given).client();
    const ask = async (model: string, content: string) => {
      const messages = [{ role: 'user' as const, content }];
      const { choices, usage } = await openai.chat.completions.create({
        model,
        messages,
        ...greedyFor(6),
      });
      return {
        text: choices[0]!.message.content,
        cached: usage!.prompt_tokens_details!.cached_tokens!,
      };
    };
    const plain = await ask('base', 'the old mill stands');
    expect(await ask('base+lora-qv:0', 'the old mill stands')).toEqual(plain);
    const mixed = await ask('base+all-linear:0.5+lora-qv', 'the old mill stands');
    expect(await ask('base+lora-qv+all-linear:0.5', 'the old mill stands')).toMatchObject({
      text: mixed.text,
      cached: expect.any(Number) as number,
    });
    const again = await ask('base', 'the old mill stands');
    expect(again.text).toBe(plain.text);
    expect(again.cached).toBeGreaterThan(plain.cached);
  });

  it('needs its token, refuses what does not go together, and a port that is taken', async () => {
    served = new ServedHttp(['--base', base], { LORA_SERVE_TOKEN: 'secret' });
    const { url } = await served.ready;
    expect((await fetch(`${url}/models`)).status).toBe(401);
    expect((await (await served.client('secret')).models.list()).data).toHaveLength(1);
    const { port } = new URL(url);
    for (const [args, message] of [
      [['--http', '--port', port], `The port ${port} is taken by another program.`],
      [['--http', '--host', '0.0.0.0'], 'Other machines reach 0.0.0.0: set a token'],
      [['--http', '--port', '70000'], '--port must be a port from 0 to 65535'],
      [['--http', '--run', 'x'], '--run cannot be used with --http.'],
      [['--port', '0'], '--port needs --http.'],
    ] as const) {
      const { code, stderr } = await cli('serve', '--base', base, ...args);
      expect([code, stderr]).toEqual([2, expect.stringContaining(message) as string]);
    }
  });

  it('tells the log-probabilities of a prompt by echo, those of several at once', async () => {
    const openai = await serving().client();
    const given = { model: 'base', temperature: 0, logprobs: 1 };
    const written = await openai.completions.create({
      ...given,
      prompt: 'the old mill',
      max_tokens: 5,
      echo: true,
    });
    const { text, logprobs } = written.choices[0]!;
    const { choices } = await openai.completions.create({
      ...given,
      prompt: [text, 'Paris is'],
      max_tokens: 0,
      echo: true,
    });
    expect(choices.map((own) => own.text)).toEqual([text, 'Paris is']);
    const again = choices[0]!.logprobs!;
    expect(again.tokens).toEqual(logprobs!.tokens);
    expect(again.token_logprobs![0]).toBeNull();
    again.token_logprobs!.slice(1).forEach((logprob, i) => {
      expect(logprob).toBeCloseTo(logprobs!.token_logprobs![i + 1]!, 4);
    });
    const best = again.top_logprobs!.slice(-5).map((top) => Math.max(...Object.values(top)));
    expect(again.token_logprobs!.slice(-5)).toEqual(best); // those that greedy decoding wrote
  });

  it('ends by a signal while it answers', async () => {
    const running = serving();
    const openai = await running.client();
    const stream = await openai.completions.create({
      model: 'base',
      prompt: 'the',
      max_tokens: 60,
      stream: true,
    });
    await stream[Symbol.asyncIterator]().next();
    expect(await running.end()).toBe(130);
  });

  it('answers in JSON by a schema, whatever the model would write', async () => {
    const openai = await serving().client();
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 6 },
        kind: { enum: ['old', 'new'] },
        sizes: { type: 'array', items: { type: 'integer' }, maxItems: 2 },
      },
      required: ['name', 'kind', 'sizes'],
      additionalProperties: false,
    };
    for (const seed of [1, 2, 3]) {
      const settings = { seed, max_tokens: 200 };
      const { choices } = await openai.chat.completions.create({
        model: 'base',
        messages: [{ role: 'user', content: 'a' }],
        ...settings,
        response_format: { type: 'json_schema', json_schema: { name: 'thing', schema } },
      });
      const { message, finish_reason } = choices[0]!;
      expect(finish_reason).toBe('stop');
      const answer = JSON.parse(message.content!) as Record<string, unknown>;
      expect(Object.keys(answer)).toEqual(['name', 'kind', 'sizes']);
      expect(['old', 'new']).toContain(answer['kind']);
    }
  });

  it('calls a tool where it must, whatever the model would write', async () => {
    const folder = path.join(tempFolder(), 'tools');
    cpSync(base, folder, { recursive: true });
    editJson(path.join(folder, 'tokenizer_config.json'), { chat_template: TOOL_TEMPLATE });
    served = new ServedHttp(['--base', folder]);
    const openai = await served.client();
    const tool = (name: string, key: string) => ({
      type: 'function' as const,
      function: {
        name,
        parameters: {
          type: 'object',
          properties: { [key]: { type: 'string', maxLength: 5 } },
          required: [key],
        },
      },
    });
    const tools = [tool('find', 'query'), tool('remove', 'id')];
    const settings = { n: 2, seed: 3, max_tokens: 100 };
    for (const tool_choice of [
      'required',
      { type: 'function', function: { name: 'remove' } },
    ] as const) {
      const { choices } = await openai.chat.completions.create({
        model: 'base',
        messages: [{ role: 'user', content: 'a' }],
        tools,
        tool_choice,
        ...settings,
      });
      for (const { message, finish_reason } of choices) {
        expect(finish_reason).toBe('tool_calls');
        const [call, ...others] = message.tool_calls as ChatCompletionMessageFunctionToolCall[];
        expect(others).toEqual([]);
        const { name, arguments: text } = call!.function;
        if (tool_choice !== 'required') expect(name).toBe('remove');
        const key = name === 'find' ? 'query' : 'id';
        expect(JSON.parse(text)).toEqual({ [key]: expect.any(String) as string });
      }
    }
  });

  it('gives embeddings, where the base is made for them', async () => {
    const folder = path.join(tempFolder(), 'bert');
    cpSync(path.join(fixtures, 'bert/base'), folder, { recursive: true });
    editJson(path.join(folder, 'config.json'), { architectures: ['BertModel'] });
    served = new ServedHttp(['--base', folder]);
    const openai = await served.client();
    const input = ['the old mill', 'a', 'the old mill by the river, and a cat'];
    const model = 'base';
    const { data, usage } = await openai.embeddings.create({ model, input });
    const floats = await openai.embeddings.create({
      model,
      input: input[0]!,
      encoding_format: 'float',
    });
    const vectors = data.map(({ embedding }) => embedding);
    expect(gap(vectors[0]!, floats.data[0]!.embedding)).toBeLessThan(1e-5);
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    expect(gap(vectors[0]!, vectors[1]!)).toBeGreaterThan(0.01);
    expect(usage.total_tokens).toBeGreaterThan(floats.usage.total_tokens);
    const short = await openai.embeddings.create({ model, input: input[0]!, dimensions: 4 });
    const [first] = short.data;
    expect(first!.embedding).toHaveLength(4);
    expect(Math.hypot(...first!.embedding)).toBeCloseTo(1, 5);
    for (const [further, message] of [
      [{ input: [] }, '"input" must be a text'],
      [{ input: ['a', ''] }, '"input" must hold texts'],
      [{ input: 'the '.repeat(5000) }, 'the model has positions for'],
      [{ input: [[1, 9_999_999]] }, 'has the token id 9999999'],
      [{ dimensions: 100_000 }, '"dimensions" must be at most'],
      [{ model: 'x' }, 'does not exist'],
    ] as const)
      await expect(
        openai.embeddings.create({ model, input: 'a', ...further } as EmbeddingCreateParams),
      ).rejects.toThrow(message);
    await expect(openai.completions.create({ model, prompt: 'a' })).rejects.toThrow(
      'it writes no text',
    );
  });
});

describe('reranking', () => {
  const bert = path.join(fixtures, 'bert/base');
  const reranker = path.join(fixtures, 'rerankers/bert-MSELoss/final');
  const documents = ['the old mill', 'a cat', 'the river by the old mill, and a cat', 'the cat'];
  const post = async (further: object) => {
    const { url } = await served!.ready;
    const response = await fetch(`${url}/rerank`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'base+final', query: 'the mill', documents, ...further }),
    });
    return { status: response.status, answer: (await response.json()) as Reranked };
  };

  it('gives the numbers of lora rerank', async () => {
    const texts = documents.flatMap((text) => ['--document', text]);
    const model = ['--base', bert, '--adapter', reranker];
    const { stdout } = await cli('rerank', ...model, '--query', 'the mill', ...texts, '--json');
    const { documents: wanted } = lastLine(stdout) as {
      documents: { index: number; score: number }[];
    };
    served = new ServedHttp(model);
    const { status, answer } = await post({});
    expect(status).toBe(200);
    expect(answer.results).toEqual(
      wanted.map(({ index, score }) => ({ index, relevance_score: score })),
    );
    const some = [documents[0], { text: documents[3] }];
    const first = await post({ documents: some, top_n: 1, return_documents: true });
    const { index, document } = first.answer.results[0]!;
    expect(first.answer.results).toHaveLength(1);
    expect(document).toEqual({ text: [documents[0], documents[3]][index] });
    for (const [further, message] of [
      [{ model: 'base' }, 'The model "base" names classes: ranking documents needs a head'],
      [{ documents: [] }, '"documents" must be a list of 1 to 2048 texts.'],
      [{ documents: [5] }, '"documents.0" must be a text'],
      [{ documents: [{ text: 'a', title: 'b' }] }, '"documents.0.title" is not supported.'],
      [{ documents: ['the '.repeat(9999)] }, 'tokens with the query, but the model reads'],
      [{ documents: ['\ud800'] }, 'half of a surrogate pair'],
      [{ query: '' }, '"query"'],
      [{ top_n: 0 }, '"top_n"'],
      [{ rank_fields: ['a'] }, '"rank_fields" is not supported.'],
    ] as const) {
      const refused = await post(further);
      expect(refused).toMatchObject({ status: 400 });
      expect(refused.answer.error!.message).toContain(message);
    }
    const openai = await served.client();
    await expect(openai.completions.create({ model: 'base+final', prompt: 'a' })).rejects.toThrow(
      'The model "base+final" rates documents: it writes no text.',
    );
  });

  it('is refused before the start where neither the base nor an adapter is for it', async () => {
    const { code, stderr } = await cli('serve', '--base', bert, '--http', '--port', '0');
    expect([code, stderr]).toEqual([1, expect.stringContaining('cannot be served') as string]);
  });

  it('works by an adapter of a base that writes text, beside it', async () => {
    const llama = path.join(fixtures, 'rerankers/llama-RankNetLoss/final');
    const openai = await serving('--adapter', llama).client();
    const { answer } = await post({});
    expect(answer.results.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3]);
    const { choices } = await openai.completions.create({ model: 'base', prompt: 'a', ...greedy });
    expect(choices[0]!.text).toBe(await generated('a'));
  });
});

interface Reranked {
  readonly results: readonly {
    readonly index: number;
    readonly relevance_score: number;
    readonly document?: { readonly text: string };
  }[];
  readonly error?: { readonly message: string };
}

describe('the server of the editor', () => {
  const starting = (own: string) => {
    const fractions: number[] = [];
    const server = new HttpServer({
      node: process.execPath,
      cli: path.join(dist, 'cli.js'),
      base: own,
      adapters: [adapters[0]!],
      env: process.env,
      onProgress: (fraction) => fractions.push(fraction),
    });
    return { server, fractions };
  };

  it('tells its address, and ends when it is not needed', async () => {
    const { server, fractions } = starting(base);
    const { url, models } = await server.ready;
    expect(models).toEqual(['base', 'base+lora-qv']);
    expect(fractions.at(-1)).toBe(1);
    expect((await fetch(`${url}/models`)).status).toBe(200);
    server.dispose();
    expect(await server.ended).toBeNull();
    await expect(fetch(`${url}/models`)).rejects.toThrow();
  });

  it('says why it cannot start', async () => {
    const { server } = starting(path.join(fixtures, 'nothing'));
    await expect(server.ready).rejects.toThrow('nothing');
    expect(await server.ended).not.toBeNull();
  });
});

/** Largest difference of two vectors. */
const gap = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
