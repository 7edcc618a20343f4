import { Served } from '../support/served';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  baseWith,
  baseWithNewToken,
  cli,
  editJson,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  tempFolder,
  train,
} from '../support/commandLine';

const TEMPLATE =
  "{% if tools %}<|im_start|>tools\n{{ tools[0].function.name }}<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}{% for t in m.tool_calls or [] %}<call>{{ t.function.name }} {{ t.function.arguments | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% if style %}{{ style }}{% endif %}{% else %}{{ eos_token }}{% endif %}";
const base = () =>
  baseWith((folder) => {
    editJson(path.join(folder, 'tokenizer_config.json'), { chat_template: TEMPLATE });
  });
const ask = { role: 'user', content: 'q' };
const call = { type: 'function', function: { name: 'look', arguments: { at: 'x' } } };

interface Inspected {
  readonly examples: readonly {
    readonly pieces: readonly { readonly text: string; readonly labelled: boolean }[];
  }[];
  readonly warnings: readonly { readonly message: string }[];
}

const inspect = async (recipe: string) =>
  JSON.parse(
    (await cli('inspect', recipe, '--json')).stdout.trim().split('\n').at(-1)!,
  ) as Inspected;

describe('a chat with tools, reasoning and an answer of weight 0', () => {
  const rows = [
    {
      tools: [call],
      messages: [
        ask,
        { role: 'assistant', content: null, tool_calls: [call], reasoning_content: 'why' },
        { role: 'tool', content: 'rain' },
        { role: 'assistant', content: 'BAD', weight: 0 },
        ask,
        { role: 'assistant', content: 'wet', thinking: 'so' },
      ],
    },
    { messages: [ask, { role: 'assistant', content: 'a' }], system: 's' },
  ];

  it('is shown as it is learned, with what the template leaves out, and trains', async () => {
    const recipe = makeRecipe(
      {
        top: { base: base(), validation_split: 0, chat_template_kwargs: { style: '' } },
        training: { max_length: 64, max_steps: 1 },
      },
      rows,
    );
    const { examples, warnings } = await inspect(recipe);
    const learnt = examples.map(({ pieces }) =>
      pieces.filter(({ labelled }) => labelled).map(({ text }) => text),
    );
    expect(learnt[0]).toEqual(['<call>look {"at": "x"}</call><|im_end|>']);
    expect(learnt[1]).toEqual(['a<|im_end|>']);
    expect(warnings.map(({ message }) => message)).toEqual([
      'The chat template leaves out the reasoning of answers before the last: it is not learned.',
    ]);
    await train(recipe, /leaves out the reasoning/);
  });

  it('is asked for with the variables of the template', async () => {
    const prompt = [
      'generate',
      '--base',
      base(),
      '--prompt',
      'q',
      '--chat',
      '--max-new-tokens',
      '1',
    ];
    const answered = await cli(...prompt, '--chat-template-kwargs', '{"style": "brief"}', '--json');
    expect(answered.code).toBe(0);
    const refused = await cli(...prompt, '--chat-template-kwargs', '{"messages": []}');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('must be a JSON object of variables');
  });
});

describe('a conversation on the command line', () => {
  const own = base();
  const generate = (...args: readonly string[]) =>
    cli('generate', '--base', own, '--max-new-tokens', '6', '--json', ...args);
  const fileOf = (content: string) => {
    const file = path.join(tempFolder(), 'messages.json');
    writeFileSync(file, content);
    return file;
  };
  const textOf = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await generate(...args);
    expect([code, stderr]).toEqual([0, '']);
    return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text;
  };

  it('is answered as a prompt with its system message is', async () => {
    const asked = await textOf('--prompt', 'q', '--system', 'Speak like a pirate.');
    const system = { role: 'system', content: 'Speak like a pirate.' };
    const file = fileOf(JSON.stringify([system, ask]));
    expect(await textOf('--messages', file)).toBe(asked);
    const alone = fileOf(JSON.stringify([ask]));
    expect(await textOf('--messages', alone, '--system', system.content)).toBe(asked);
    expect(await textOf('--messages', alone)).not.toBe(asked);
  });

  it('is refused by name where it is none', async () => {
    const refusals: readonly (readonly [readonly string[], RegExp])[] = [
      [['--messages', path.join(tempFolder(), 'none.json')], /none\.json: .*it does not exist/],
      [['--messages', fileOf('[{"role"')], /messages\.json: The messages are not valid JSON/],
      [['--messages', fileOf('{}')], /"messages" must be a list of messages, not an object/],
      [
        ['--messages', fileOf('[{"role": "user", "content": "a", "content": "b"}]')],
        /The key "\[0\]\.content" is duplicated/,
      ],
      [['--messages', fileOf('[]')], /The list of messages is empty/],
      [['--messages', fileOf('[{"role": "user"}]')], /messages\[0\].*"content" is missing/s],
      [
        ['--messages', fileOf(JSON.stringify([ask, { role: 'assistant', content: 'a' }]))],
        /The last message has the role "assistant", so there is nothing to answer/,
      ],
      [
        [
          '--messages',
          fileOf(JSON.stringify([{ role: 'system', content: 's' }, ask])),
          '--system',
          'x',
        ],
        /begin with a system message already/,
      ],
      [['--messages', fileOf('[]'), '--prompt', 'q'], /exactly one of --prompt and --messages/],
    ];
    for (const [args, fault] of refusals) {
      const { code, stdout, stderr } = await generate(...args);
      expect(code).not.toBe(0);
      expect(stdout + stderr).toMatch(fault);
    }
  });
});

it('variables of the template are the same from a recipe, a row and the command line', async () => {
  const printing = baseWith((folder) =>
    editJson(path.join(folder, 'tokenizer_config.json'), {
      chat_template: TEMPLATE.replace('{% for m', '{{ style | tojson }}\n{% for m'),
    }),
  );
  const messages = [ask, { role: 'assistant', content: 'a' }];
  const top = { base: printing, validation_split: 0, chat_template_kwargs: '{"style": 1.0}' };
  const { examples } = await inspect(makeRecipe({ top }, [{ messages }]));
  expect(examples[0]!.pieces[0]!.text).toMatch(/^1\.0\n/);
  const loss = async (row: string, ...more: readonly string[]) => {
    const dataset = path.join(tempFolder(), 'data.jsonl');
    writeFileSync(dataset, `${row}\n`);
    const args = ['evaluate', '--base', printing, '--dataset', dataset, '--json', ...more];
    const { stdout } = await cli(...args);
    return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { loss: number }).loss;
  };
  const chat = JSON.stringify(messages);
  const inRow = await loss(`{"messages": ${chat}, "chat_template_kwargs": {"style": 1.0}}`);
  const given = (kwargs: string) => loss(`{"messages": ${chat}}`, '--chat-template-kwargs', kwargs);
  expect(inRow).toBeGreaterThan(0);
  expect(await given('{"style": 1.0}')).toBe(inRow);
  expect(await given('{"style": 1}')).not.toBe(inRow);
});

describe("a token beyond the embedding's rows", () => {
  const fault = /The token "<\|new\|>" \(id 384\) is beyond the 384 rows/;

  it('is refused by line before the start, and never padded with', async () => {
    const top = { base: baseWithNewToken({ pad_token: '<|new|>' }), validation_split: 0 };
    const recipe = makeRecipe({ top }, [{ text: 'ab' }, { text: 'a<|new|>b' }]);
    for (const args of [
      ['check', recipe],
      ['inspect', recipe],
      ['train', recipe, '--run-dir', path.join(tempFolder(), 'run')],
    ]) {
      const { code, stdout, stderr } = await cli(...args);
      expect(code).not.toBe(0);
      expect(stdout + stderr).toMatch(fault);
      expect(stdout + stderr).toMatch(/data\.jsonl:2/);
    }
    await train(
      makeRecipe({ top, training: { max_steps: 1 } }, [{ text: 'ab' }, { text: 'the old mill' }]),
    );
  });

  it('is named in words where a prompt has it', async () => {
    const { code, stdout, stderr } = await cli(
      'generate',
      '--base',
      baseWithNewToken(),
      '--prompt',
      'a<|new|>',
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain("token id 384, but the model's embedding has 384 rows");
    expect(stdout + stderr).not.toContain('TF_Status');
  });

  it('is refused by line where a dataset is evaluated, as half of a surrogate pair is', async () => {
    const evaluate = (row: string, base: string) => {
      const dataset = path.join(tempFolder(), 'data.jsonl');
      writeFileSync(dataset, `{"text": "the old mill"}\n${row}\n`);
      return cli('evaluate', '--base', base, '--dataset', dataset);
    };
    const beyond = await evaluate('{"text": "a<|new|>b"}', baseWithNewToken());
    expect(beyond.code).not.toBe(0);
    expect(beyond.stderr).toMatch(fault);
    expect(beyond.stderr).toMatch(/data\.jsonl:2/);
    const lone = await evaluate('{"text": "a\\ud800"}', path.join(fixtures, 'llama', 'base'));
    expect(lone.code).not.toBe(0);
    expect(lone.stderr).toMatch(/data\.jsonl:2.*half of a surrogate pair/s);
  });
});

it('no call is what best/ is chosen by where no row for validation has one', async () => {
  const recipe = makeRecipe(
    {
      top: { base: base(), samples: { sample_steps: 5 } },
      training: { metric_for_best_model: 'calls_right' },
    },
    Array.from({ length: 8 }, (_, i) => ({ prompt: `q${i}`, completion: 'a' })),
  );
  const { code, stderr } = await cli('train', recipe, '--run-dir', path.join(tempFolder(), 'run'));
  expect(code).toBe(1);
  expect(stderr).toContain('no answer of the validation set calls a tool');
});

describe('a model that has learned to call a tool', () => {
  const rows = [{ messages: [ask, { role: 'assistant', content: null, tool_calls: [call] }] }];
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];

  it('is counted in evaluations, and answers with calls', async () => {
    const data = path.join(tempFolder(), 'rows.jsonl');
    writeFileSync(data, `${JSON.stringify(rows[0])}\n`);
    const training = {
      max_length: 64,
      max_steps: 80,
      eval_steps: 80,
      learning_rate: 0.02,
      metric_for_best_model: 'calls_right' as const,
    };
    const recipe = makeRecipe(
      { top: { base: base(), validation: data, tools, samples: { sample_steps: 80 } }, training },
      rows,
    );
    const runDir = await train(recipe);
    const evaluations = metricsOf(runDir).filter((line) => line.kind === 'eval');
    expect(evaluations.map(({ scores }) => scores?.calls_right)).toEqual([0, 1]);
    expect(recordOf(runDir).result.best_metric).toEqual({ name: 'calls_right', value: 1 });
    const model = [
      '--base',
      recordOf(runDir).recipe.base,
      '--adapter',
      path.join(runDir, 'adapter'),
    ];
    const file = path.join(tempFolder(), 'tools.json');
    writeFileSync(file, JSON.stringify(tools));
    const asked = [...model, '--prompt', 'q', '--tools', file];
    const { stdout } = await cli('generate', ...asked, '--json');
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({
      content: '',
      calls: [{ name: 'look', arguments: { at: 'x' } }],
    });
    const shown = await cli('generate', ...asked);
    expect(shown.stdout.trimEnd().split('\n').at(-1)).toBe('call look {"at": "x"}');
    const counted = await cli('evaluate', ...model, '--dataset', data, '--tools', file, '--calls');
    expect(counted.stdout).toContain(
      '1 of 1 answer with tools all right (parsed 1, right tools 1, equal arguments 1)',
    );
    await expectServedCalls(model);
  });

  /** The same of `lora serve`: a call, what follows its result, and tools that are none. */
  async function expectServedCalls(model: readonly string[]): Promise<void> {
    const served = new Served(...model);
    const asked = { chat: true, prompt: 'q', max_new_tokens: 32, tools: JSON.stringify(tools) };
    const lastParts = () => served.events.findLast((event) => event.kind === 'done')?.parts;
    try {
      await served.ask(0, 1, asked);
      const parts = lastParts();
      expect(parts).toMatchObject({ content: '', faulty: false, calls: [{ name: 'look' }] });
      const [first] = parts!.calls;
      expect(JSON.parse(first!.arguments)).toEqual({ at: 'x' });
      const turns = [
        { role: 'assistant', content: '', reasoning: '', calls: [first!] },
        { role: 'tool', tool_call_id: first!.id, name: 'look', content: 'rain' },
      ];
      await served.ask(0, 1, asked, { turns });
      expect(lastParts()).not.toBe(parts);
      await served.ask(null, 1, { ...asked, tools: '' });
      expect(lastParts()).toMatchObject({ calls: [] });
      for (const wrong of ['{', '3', '[{"a": 1, "a": 2}]'])
        await expect(served.ask(0, 1, { ...asked, tools: wrong })).rejects.toThrow(/tools/);
      const broken = [{ ...turns[0], calls: [{ ...first!, arguments: '[' }] }];
      await expect(served.ask(0, 1, asked, { turns: broken })).rejects.toThrow(/not a JSON object/);
    } finally {
      expect(await served.end()).toBe(0);
    }
  }

  it('is not counted on rows without tools and calls', async () => {
    const data = path.join(tempFolder(), 'rows.jsonl');
    writeFileSync(data, JSON.stringify({ messages: [ask, { role: 'assistant', content: 'a' }] }));
    const refused = await cli('evaluate', '--base', base(), '--dataset', data, '--calls');
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining('No row has tools or an answer that calls one') as string,
    ]);
  });
});
