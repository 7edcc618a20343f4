import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  baseWith,
  baseWithNewToken,
  cli,
  editJson,
  fixtures,
  makeRecipe,
  recordOf,
  tempFolder,
  train,
} from '../support/commandLine';
import { Served, settings } from '../support/served';

const inFixtures = (name: string) => path.join(fixtures, name);
const alone = async (base: string, ...adapters: readonly string[]) =>
  textOfResult(
    await cli(
      'generate',
      '--base',
      base,
      ...adapters.flatMap((own) => ['--adapter', own]),
      '--prompt',
      settings.prompt,
      '--max-new-tokens',
      '8',
      '--json',
    ),
  );

/** The result is the last line; warnings come before it. */
const textOfResult = ({ stdout }: { readonly stdout: string }): string =>
  (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text;

let served: Served | undefined;
afterEach(() => served?.end());

it('keeps the base in bf16 on request, like generate, and refuses an unknown dtype', async () => {
  const base = inFixtures('llama/base');
  served = new Served('--base', base, '--base-dtype', 'bfloat16');
  const ready = await served.until(() => served!.events.find((event) => event.kind === 'ready'));
  expect(ready).toMatchObject({ device: expect.stringContaining('bf16') as string });
  const generated = await cli(
    'generate',
    '--base',
    base,
    '--prompt',
    settings.prompt,
    '--max-new-tokens',
    '8',
    '--base-dtype',
    'bfloat16',
    '--json',
  );
  expect(await served.ask(null)).toBe(textOfResult(generated));
  const refused = await cli('generate', '--base', base, '--prompt', 'x', '--base-dtype', 'half');
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining(
      '--base-dtype must be one of auto, float32, bfloat16, quantized, not "half"',
    ) as string,
  ]);
});

it('shows the rows that a run was validated on, and answers them as they were trained', async () => {
  const system = { role: 'system', content: 'Be short.' };
  const turns = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'hello' },
    { role: 'user', content: 'the old mill' },
  ];
  const rowOf = (answer: string) => ({
    messages: [system, ...turns, { role: 'assistant', content: answer }],
  });
  const validation = path.join(tempFolder(), 'validation.jsonl');
  writeFileSync(validation, [rowOf('a'), rowOf('b')].map((row) => JSON.stringify(row)).join('\n'));
  const recipe = makeRecipe({ top: { validation }, training: { max_steps: 1, max_length: 200 } });
  const runDir = await train(recipe);
  const base = recordOf(runDir).recipe.base;
  const running = new Served(
    '--base',
    base,
    '--adapter',
    path.join(runDir, 'adapter'),
    '--run',
    runDir,
  );
  served = running;
  const rowAt = async (index: number) => {
    const before = running.events.length;
    running.send({ kind: 'row', index });
    return running.until(() =>
      running.events.slice(before).find(({ kind }) => kind === 'row' || kind === 'rowFailed'),
    );
  };
  expect(await rowAt(1)).toEqual({
    kind: 'row',
    row: {
      index: 1,
      count: 2,
      line: 2,
      system: 'Be short.',
      before: [
        { role: 'user', text: 'hi' },
        { role: 'assistant', text: 'hello' },
      ],
      prompt: 'the old mill',
      expected: 'b',
      images: [],
      tools: '',
      changed: false,
    },
  });
  expect(await rowAt(2)).toMatchObject({
    error: { message: expect.stringContaining('no row 3') as string },
  });
  const asked = { chat: true, system: 'Be short.', row: 1 };
  const messages = path.join(tempFolder(), 'messages.json');
  writeFileSync(messages, JSON.stringify([system, ...turns]));
  const args = [
    'generate',
    '--base',
    base,
    '--messages',
    messages,
    '--max-new-tokens',
    '8',
    '--json',
  ];
  const whole = await running.ask(null, 1, asked);
  expect(whole).toBe(textOfResult(await cli(...args)));
  expect(await running.ask(null, 1, { ...asked, row: null })).not.toBe(whole);
});

describe('a base with adapters in memory', () => {
  const base = inFixtures('llama/base');
  const [qv, all] = [inFixtures('llama/lora-qv/adapter'), inFixtures('llama/all-linear/adapter')];

  it('streams answers of the base, of each adapter, and of the base again', async () => {
    served = new Served('--base', base, '--adapter', qv, '--adapter', all);
    expect(
      await served.until(() => served!.events.find((event) => event.kind === 'ready')),
    ).toMatchObject({ base, has_chat_template: true });
    const expected = {
      base: await alone(base),
      qv: await alone(base, qv),
      all: await alone(base, all),
    };
    expect(new Set(Object.values(expected)).size).toBe(3);
    expect([
      await served.ask(null),
      await served.ask(0),
      await served.ask(1),
      await served.ask(null),
    ]).toEqual([expected.base, expected.qv, expected.all, expected.base]);
    expect([await served.ask(1, 0), await served.ask(0, 1)]).toEqual([expected.base, expected.qv]);
    expect(
      served.events.filter((event) => event.kind === 'text' && event.id === '0').length,
    ).toBeGreaterThan(1);
    expect(await served.end()).toBe(0);
  });

  it('answers differently at another scale, seed and temperature, and the same when repeated', async () => {
    served = new Served('--base', base, '--adapter', qv);
    const twice = await served.ask(0, 2);
    expect(await served.ask(0, 2)).toBe(twice);
    const [drawn, again, other] = [
      await served.ask(0, 1, { temperature: 1.5, seed: 1 }),
      await served.ask(0, 1, { temperature: 1.5, seed: 1 }),
      await served.ask(0, 1, { temperature: 1.5, seed: 2 }),
    ];
    expect([again === drawn, other === drawn]).toEqual([true, false]);
  });

  it('puts a system message before the prompt of a chat', async () => {
    served = new Served('--base', base);
    const [plain, spoken] = [
      await served.ask(null, 1, { chat: true }),
      await served.ask(null, 1, { chat: true, system: 'be short' }),
    ];
    expect(spoken).not.toBe(plain);
    expect(await served.ask(null, 1, { system: 'be short' })).toBe(await alone(base));
  });

  it('keeps a copy of the base for an adapter that changes whole weights', async () => {
    const dora = inFixtures('trajectories/dora/final');
    served = new Served('--base', base, '--adapter', dora, '--adapter', qv);
    const expected = [await alone(base), await alone(base, dora), await alone(base, qv)];
    expect([await served.ask(null), await served.ask(0), await served.ask(1)]).toEqual(expected);
    expect(await served.ask(0, 60)).not.toBe(expected[1]);
    expect([await served.ask(null), await served.ask(0)]).toEqual(expected.slice(0, 2));
  });

  it('stops an answer that is being written and one that is waiting, then answers the next', async () => {
    served = new Served('--base', base, '--adapter', qv);
    served.send({
      kind: 'answer',
      id: 'long',
      settings: { ...settings, max_new_tokens: 50, temperature: 2 },
      adapter: null,
      scale: 1,
    });
    served.send({ kind: 'answer', id: 'waits', settings, adapter: 0, scale: 1 });
    await served.until(() =>
      served!.events.find((event) => event.kind === 'text' && event.id === 'long'),
    );
    served.send({ kind: 'stop', id: 'waits' });
    served.send({ kind: 'stop', id: 'long' });
    const ends = await served.until(() => {
      const found = served!.events.filter((event) => event.kind === 'done');
      return found.length === 2 ? found : undefined;
    });
    expect(ends.map(({ id, stopped }) => [id, stopped])).toEqual([
      ['long', true],
      ['waits', true],
    ]);
    expect(ends[0]!.tokens).toBeLessThan(50);
    expect(served.textOf('waits')).toBe('');
    expect(await served.ask(null)).toBe(await alone(base));
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('is ended by %s while it answers', async (signal) => {
    served = new Served('--base', base);
    const long = { ...settings, max_new_tokens: 50, temperature: 2 };
    served.send({ kind: 'answer', id: 'long', settings: long, adapter: null, scale: 1 });
    await served.until(() => served!.events.find((event) => event.kind === 'text'));
    expect(await served.endedBy(signal)).toBe(signal);
  });

  it('reads a request with line separators of Unicode in its prompt as one line', async () => {
    served = new Served('--base', base);
    const spaced = await served.ask(null, 1, { prompt: 'the old\u2028mill\u2029by\u0085me' });
    expect(typeof spaced).toBe('string');
    expect(served.events.filter((event) => event.kind === 'error')).toEqual([]);
  });

  it('refuses prompts that are no text, or hold a token beyond the embedding, and answers the next', async () => {
    served = new Served('--base', baseWithNewToken());
    await expect(served.ask(null, 1, { prompt: 'a\ud800' })).rejects.toThrow(
      'half of a surrogate pair',
    );
    await expect(served.ask(null, 1, { prompt: 'a<|new|>' })).rejects.toThrow(
      "token id 384, but the model's embedding has 384 rows",
    );
    expect(await served.ask(null)).toBe(await alone(base));
  });

  it('renders a chat with the variables of the command line and of the request, like generate', async () => {
    const printing = baseWith((folder) =>
      editJson(path.join(folder, 'tokenizer_config.json'), {
        chat_template:
          '{% for m in messages %}{{ m.content }}{% endfor %}{{ (style, mood) | tojson }}',
      }),
    );
    const written = async (kwargs: string) =>
      textOfResult(
        await cli(
          ...['generate', '--base', printing, '--prompt', settings.prompt, '--chat', '--json'],
          ...['--max-new-tokens', '8', '--chat-template-kwargs', kwargs],
        ),
      );
    served = new Served('--base', printing, '--chat-template-kwargs', '{"style": 1.0, "mood": 2}');
    const chat = { chat: true };
    const asked = (kwargs: object | string) =>
      served!.ask(null, 1, chat, { chat_template_kwargs: kwargs });
    expect(await served.ask(null, 1, chat)).toBe(await written('{"style": 1.0, "mood": 2}'));
    expect(await asked({ mood: 'x' })).toBe(await written('{"style": 1.0, "mood": "x"}'));
    expect(await asked('{"mood": {"2": 1, "1": 2}}')).toBe(
      await written('{"style": 1.0, "mood": {"2": 1, "1": 2}}'),
    );
    await expect(asked('{"mood": 1, "mood": 2}')).rejects.toThrow(
      'The key "mood" of chat_template_kwargs is duplicated.',
    );
    await expect(asked({ messages: [] })).rejects.toThrow('cannot be set by chat_template_kwargs');
  });

  it('reports what is wrong with a request, a base or an adapter that does not fit', async () => {
    served = new Served('--base', base);
    served.send({ kind: 'answer', id: 'x' });
    expect(
      await served.until(() => served!.events.find((event) => event.kind === 'error')),
    ).toMatchObject({ id: null });
    await expect(served.ask(3)).rejects.toThrow('There is no adapter 3.');
    const wrong = new Served('--base', inFixtures('qwen2/base'), '--adapter', qv);
    expect(await wrong.exit).toBe(1);
    expect(wrong.events.at(-1)).toMatchObject({ kind: 'error', error: { area: 'adapter' } });
    const labels = new Served('--base', inFixtures('bert/base'));
    expect(await labels.exit).toBe(1);
  });
});
