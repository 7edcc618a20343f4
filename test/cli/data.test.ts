import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CheckedRecipe } from '../../src/shared/checkedRecipe';
import {
  baseWith,
  chats,
  cli,
  editJson,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';

const config = (folder: string) => path.join(folder, 'tokenizer_config.json');
const ownTemplate = (
  JSON.parse(readFileSync(config(path.join(fixtures, 'llama/base')), 'utf8')) as {
    chat_template: string;
  }
).chat_template;

/** Refuses system messages and turns out of order, as Gemma's does, and a word. */
const STRICT = `{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if message['content'] == 'never' %}{{ raise_exception('Not this word') }}{% endif %}{% endfor %}${ownTemplate}`;

describe('chats that do not alternate', () => {
  const said = (...turns: readonly string[]) => ({
    conversations: turns.map((turn) => ({
      from: { s: 'system', h: 'human', g: 'gpt' }[turn[0]!],
      value: turn,
    })),
  });
  const rows = [
    said('h1', 'g1'),
    said('g2', 'h2', 'g2'),
    said('h3', 'h3b', 'g3'),
    said('h4', 'g4', 'h4b'),
    said('s5', 'h5', 'g5'),
    said('s6', 'g6', 'h6', 'h6b', 'g6', 'h6c'),
  ];
  const recipe = (choice: object) =>
    makeRecipe(
      {
        top: {
          base: baseWith((folder) => editJson(config(folder), { chat_template: STRICT })),
          chats: choice,
          validation_split: 0,
          samples: {
            prompts: ['h1', 'never', 'the old mill '.repeat(40)],
            sample_steps: 1,
            max_new_tokens: 2,
          },
        },
        training: { max_steps: 6, per_device_train_batch_size: 1 },
      },
      rows,
    );

  it('are repaired and counted before the start, and no chat template fails later', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { code, stderr } = await cli('train', recipe({}), '--run-dir', runDir, '--json');
    expect(code).toBe(0);
    for (const words of [
      /:2: The chat starts with the assistant.*\(2 rows; also line 6\)/,
      /:3: Two user messages.*\(2 rows; also line 6\)/,
      /:4: The chat ends with a user message.*\(2 rows; also line 6\)/,
      /:5: The system message is refused.*System role not supported.*\(2 rows; also line 6\)/,
    ]) {
      expect(stderr).toMatch(words);
    }
    expect(recordOf(runDir)).toMatchObject({ state: 'completed', data: { examples: 6 } });
    expect(metricsOf(runDir).filter((line) => line.kind === 'sample')).toHaveLength(7);
    expect(stderr).toMatch(
      /The sample prompt "never" is left out: The chat template refuses these messages: Not this word\nThe sample prompt "the old mill .*…" is left out: it has \d+ tokens, max_length is 48\./,
    );
  });

  it('are skipped or refused as the recipe says, with each row reported', async () => {
    const all = (choice: string) =>
      recipe({
        same_role: choice,
        assistant_first: choice,
        user_last: choice,
        system_refused: choice,
      });
    expect(recordOf(await train(all('skip'), /skipped/)).data).toMatchObject({ examples: 1 });
    const { code, stderr } = await cli(
      'train',
      all('error'),
      '--run-dir',
      path.join(tempFolder(), 'run'),
    );
    expect(code).toBe(1);
    expect([2, 3, 4, 5, 6].filter((line) => !stderr.includes(`data.jsonl:${line}`))).toEqual([]);
  });

  it('that are all skipped: one clear message', async () => {
    const { code, stderr } = await cli(
      'train',
      makeRecipe({ top: { unlabelled_rows: 'skip' } }, [said('h1'), said('h2')]),
      '--run-dir',
      path.join(tempFolder(), 'run'),
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/data\.jsonl: No row of the dataset is left[\s\S]*"unlabelled_rows"/);
  });
});

it('rows whose answer starts after max_length are reported before the start; left out, they do not affect the weights', async () => {
  const long = Array.from({ length: 3 }, (_, i) => ({
    messages: [
      { role: 'user', content: 'the old mill '.repeat(40 + i) },
      { role: 'assistant', content: 'yes' },
    ],
  }));
  const training = {
    num_train_epochs: 4,
    max_steps: null,
    per_device_train_batch_size: 1,
    weight_decay: 0.5,
    learning_rate: 1e-2,
    lr_scheduler_type: 'constant',
  };
  const refused = await cli(
    'train',
    makeRecipe({ training }, [...long, ...chats().slice(0, 1)]),
    '--run-dir',
    path.join(tempFolder(), 'run'),
  );
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(
    /data\.jsonl:1: .*max_length is 48[\s\S]*data\.jsonl:2: [\s\S]*data\.jsonl:3: /,
  );
  expect(refused.stderr).not.toContain('data.jsonl:4');
  const skipping = await train(
    makeRecipe({ top: { unlabelled_rows: 'skip' }, training }, [...long, ...chats().slice(0, 1)]),
    /^data\.jsonl:1: No label is left within max_length = 48; the row is skipped\. \(3 rows; also line 2, 3\)$/m,
  );
  const short = await train(makeRecipe({ training }, chats().slice(0, 1)));
  expect(stepsOf(skipping).map((s) => s.loss)).toEqual(stepsOf(short).map((s) => s.loss));
  expect(stepsOf(skipping).every((s) => s.loss > 0 && s.labelled_tokens > 0)).toBe(true);
  expect(stepsOf(skipping)).toHaveLength(4);
  expect(weightsOf(skipping).equals(weightsOf(short))).toBe(true);
});

it('with pad = eos the end of an answer is trained, and the trained model stops there', async () => {
  const base = baseWith((folder) =>
    editJson(config(folder), { eos_token: '<|im_end|>', pad_token: '<|im_end|>' }),
  );
  const rows = [
    ['one', 'yes'],
    ['two', 'the old mill'],
  ].map(([content, answer]) => ({
    messages: [
      { role: 'user', content },
      { role: 'assistant', content: answer },
    ],
  }));
  const runDir = await train(
    makeRecipe(
      {
        top: { base, validation_split: 0 },
        lora: { r: 16, lora_alpha: 32 },
        training: {
          max_steps: 60,
          learning_rate: 1e-2,
          per_device_train_batch_size: 2,
          save_steps: 1000,
        },
      },
      rows,
    ),
  );
  const ask = async (prompt: string) =>
    (
      JSON.parse(
        (
          await cli(
            'generate',
            '--base',
            base,
            '--adapter',
            path.join(runDir, 'adapter'),
            '--prompt',
            prompt,
            '--chat',
            '--max-new-tokens',
            '40',
            '--json',
          )
        ).stdout,
      ) as { text: string }
    ).text;
  expect([await ask('one'), await ask('two')]).toEqual(['yes', 'the old mill']);
});

describe('a chat template', () => {
  const without = (change: (folder: string) => void = () => undefined) =>
    baseWith((folder) => {
      editJson(config(folder), { chat_template: undefined });
      change(folder);
    });
  const recipe = (base: string, rows = chats()) =>
    makeRecipe({ top: { base }, training: { max_steps: 2 } }, rows);

  it('is found if only chat_template.jinja or chat_template.json has it', async () => {
    const inConfig = weightsOf(await train(recipe(path.join(fixtures, 'llama/base'))));
    const jinja = without((folder) =>
      writeFileSync(path.join(folder, 'chat_template.jinja'), ownTemplate),
    );
    const json = without((folder) =>
      writeFileSync(
        path.join(folder, 'chat_template.json'),
        JSON.stringify({ chat_template: ownTemplate }),
      ),
    );
    for (const base of [jinja, json])
      expect(weightsOf(await train(recipe(base))).equals(inConfig)).toBe(true);
  });

  it('that is missing: chats are refused with advice, and no template is guessed', async () => {
    const base = without();
    const { code, stderr } = await cli(
      'train',
      recipe(base),
      '--run-dir',
      path.join(tempFolder(), 'run'),
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /data\.jsonl:1: The base model has no chat template.*chat_template\.jinja.*\(10 rows/,
    );
    const asked = await cli('generate', '--base', base, '--prompt', 'hi', '--chat');
    expect(asked.code).toBe(1);
    expect(asked.stderr).toContain('The base model has no chat template');
    await train(
      recipe(base, [
        { prompt: 'a', completion: ' b' },
        { prompt: 'c', completion: ' d' },
      ]),
      /no chat template: prompt and completion are joined without one\. \(2 rows/,
    );
  });
});

describe('check', () => {
  const folder = tempFolder();
  const recipe = path.join(folder, 'lora.json');
  const rows = [
    { prompt: 'one', completion: 'two' },
    { prompt: 'a long question '.repeat(10), completion: 'and an answer' },
    { prompt: 'one', completion: 'two' },
    { prompt: 'x', completion: '' },
  ];
  writeFileSync(
    path.join(folder, 'data.jsonl'),
    `${rows.map((row) => JSON.stringify(row)).join('\n')}\n{"prompt": "torn\n`,
  );
  writeFileSync(
    recipe,
    JSON.stringify({
      base: path.join(fixtures, 'llama/base'),
      dataset: 'data.jsonl',
      training: { max_length: 40 },
      labels: 'all',
      validation_split: 0,
    }),
  );
  const said = async (...args: readonly string[]) =>
    JSON.parse((await cli('check', ...args, '--json')).stdout) as CheckedRecipe;

  it('reports faulty, truncated and duplicate rows, and the lengths of all', async () => {
    const [data] = (await said(recipe)).datasets;
    expect(
      data!.problems.filter(({ severity }) => severity === 'error').map(({ place }) => place?.line),
    ).toContain(5);
    expect(data!.duplicates).toEqual([{ line: 3, first: 1 }]);
    const [cut] = data!.cut;
    expect([data!.cut.length, cut!.line, cut!.length - cut!.lost]).toEqual([1, 2, 40]);
    expect(data!.lengths.reduce((sum, bin) => sum + bin.rows, 0)).toBe(data!.statistics!.examples);
    expect((await cli('check', recipe)).code).toBe(1);
  });

  it('reads text that is not saved yet, and reports it under its final file name', async () => {
    const copy = path.join(folder, 'copy');
    writeFileSync(copy, '{"prompt": "a", "completion": "b"}\n{"prompt": 3}\n');
    const [data] = (await said(recipe, '--instead', `${path.join(folder, 'data.jsonl')}=${copy}`))
      .datasets;
    expect(data!.path).toBe(path.join(folder, 'data.jsonl'));
    expect(data!.problems.map(({ place }) => [place?.file, place?.line])).toContainEqual([
      path.join(folder, 'data.jsonl'),
      2,
    ]);
  });

  it('says of each type whether a step fits, for the rows that there are', async () => {
    const { memory } = await said(makeRecipe({ training: { per_device_train_batch_size: 1 } }));
    expect([memory!.rows, memory!.length <= 48, memory!.available > 0]).toEqual([1, true, true]);
    const { bytes, recomputed_bytes } = memory!.types[0]!;
    expect(memory!.types[0]!.base_dtype).toBe('float32');
    expect(bytes).toBeGreaterThan(recomputed_bytes);
    const full = await said(makeRecipe({ training: { method: 'full' } }));
    expect(full.memory!.types.map(({ base_dtype }) => base_dtype)).toEqual(['float32']);
  });

  it('checks the rows even if the base cannot be read', async () => {
    const other = path.join(folder, 'other.lora.json');
    writeFileSync(other, JSON.stringify({ base: 'nowhere', dataset: 'data.jsonl' }));
    const checked = await said(other);
    expect([
      checked.base,
      checked.datasets[0]!.statistics,
      checked.datasets[0]!.duplicates.length,
    ]).toEqual([null, null, 1]);
  });
});
