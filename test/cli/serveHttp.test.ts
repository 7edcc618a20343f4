import { cpSync } from 'node:fs';
import path from 'node:path';
import type { EmbeddingCreateParams } from 'openai/resources/embeddings';
import { afterEach, describe, expect, it } from 'vitest';
import { cli, editJson, fixtures, tempFolder } from '../support/commandLine';
import { HttpServer } from '../../src/host/server/httpServer';
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
  return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text;
}

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
