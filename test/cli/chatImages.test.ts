import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { RunRows } from '../../src/engine/serve/runRows';
import { openBase } from '../../src/formats/openBase';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  resumedBefore,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';
import { Served } from '../support/served';
import { ServedHttp } from '../support/servedHttp';

const folder = path.join(fixtures, 'qwen3-vl-images');
const base = path.join(folder, 'base');
const rows = readFileSync(path.join(folder, 'chats', 'rows.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { messages: { content: unknown }[] });

/** A recipe whose rows have their images beside them. */
function recipeOf(
  training: object = {},
  top: object = {},
  lora: object = { target_modules: ['q_proj', 'v_proj'] },
  own: readonly object[] = rows,
): string {
  const file = makeRecipe(
    {
      top: { base, ...top },
      lora,
      training: { max_length: 128, learning_rate: 0.01, ...training },
    },
    own,
  );
  cpSync(path.join(folder, 'chats'), path.dirname(file), { recursive: true });
  return file;
}

async function tokenizerFiles() {
  const opened = await openBase(base);
  try {
    return await opened.readTokenizer();
  } finally {
    await opened.close();
  }
}

let recipe: string;
let runDir: string;
beforeAll(async () => {
  recipe = recipeOf(
    {},
    { validation: 'rows.jsonl', samples: { sample_steps: 6, max_new_tokens: 4 } },
    { target_modules: 'all-linear', lora_dropout: 0.05 },
  );
  runDir = await train(recipe);
});

it('trains chats with images, their tower too, answers them, and resumes to the same bytes', async () => {
  const lines = metricsOf(runDir);
  const losses = lines.flatMap((line) => (line.kind === 'eval' ? [line.loss] : []));
  expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.01);
  const samples = lines.filter((line) => line.kind === 'sample');
  expect(samples.length).toBeGreaterThan(2);
  expect(weightsOf(await resumedBefore(runDir, 12)).equals(weightsOf(runDir))).toBe(true);
  const config = readFileSync(path.join(runDir, 'adapter', 'adapter_config.json'), 'utf8');
  const { target_modules: paths } = JSON.parse(config) as { target_modules: string[] };
  const known = readFileSync(path.join(fixtures, 'qwen3-vl-tower', 'expected.json'), 'utf8');
  const { selected } = JSON.parse(known) as { selected: { linear: string[] } };
  expect(paths.toSorted()).toEqual(selected.linear.toSorted());
});

const pairsIn = (name: string): object[] =>
  readFileSync(path.join(fixtures, 'qwen3-vl-pairs', name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line.replaceAll('../qwen3-vl-images/chats/', '')) as object);

it.each([
  ['dpo', 'pairs.jsonl', {}],
  ['kto', 'unpaired.jsonl', { desirable_weight: 2 }],
  ['distill', 'chats.jsonl', { teacher: base, top_k: 8 }],
])(
  'learns from rows with images by %s, and resumes to the same bytes',
  async (method, name, own) => {
    const settings = { max_steps: 4, save_steps: 2, eval_steps: 2 };
    const objective = { method, ...own };
    const file = recipeOf(settings, { objective, validation: 'data.jsonl' }, {}, pairsIn(name));
    const learned = await train(file);
    const evals = metricsOf(learned).flatMap((line) => (line.kind === 'eval' ? [line.loss] : []));
    expect(evals.at(-1)).toBeLessThan(evals[0]!);
    expect(weightsOf(await resumedBefore(learned, 4)).equals(weightsOf(learned))).toBe(true);
  },
);

it('evaluates the adapter and the merged model alike, and answers a question about an image', async () => {
  const adapter = path.join(runDir, 'adapter');
  const merged = path.join(tempFolder(), 'merged');
  expect((await cli('merge', '--base', base, '--adapter', adapter, '--output', merged)).code).toBe(
    0,
  );
  const dataset = path.join(path.dirname(recipe), 'rows.jsonl');
  const lossOf = async (...model: string[]) => {
    const { stdout } = await cli('evaluate', ...model, '--dataset', dataset, '--json');
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const loss = await lossOf('--base', base, '--adapter', adapter);
  expect(await lossOf('--base', merged)).toBeCloseTo(loss, 4);
  const last = metricsOf(runDir).findLast((line) => line.kind === 'eval');
  expect(loss).toBeCloseTo(last!.loss, 4);
  const messages = path.join(path.dirname(recipe), 'ask.json');
  writeFileSync(messages, JSON.stringify(rows[0]!.messages.slice(0, -1)));
  const asked = ['--base', base, '--messages', messages, '--max-new-tokens', '12', '--json'];
  const own = await cli('generate', '--adapter', path.join(folder, 'adapter'), ...asked);
  expect(own.code).toBe(0);
  const plain = await cli(
    'generate',
    '--base',
    path.join(fixtures, 'llama/base'),
    ...asked.slice(2),
  );
  expect(plain.code).not.toBe(0);
  expect(plain.stderr + plain.stdout).toContain('only for qwen3_vl');
});

it('serves chats with images within the request, as it generates them', async () => {
  const adapter = path.join(folder, 'adapter');
  const served = new ServedHttp(['--base', base, '--adapter', adapter]);
  try {
    const openai = await served.client();
    const data = readFileSync(path.join(folder, 'chats', 'wide.png')).toString('base64');
    const ask = (url: string) =>
      openai.chat.completions.create({
        model: 'base+qwen3-vl-images',
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url } },
              { type: 'text', text: 'What is it?' },
            ],
          },
        ],
        temperature: 0,
        max_completion_tokens: 12,
      });
    const { choices, usage } = await ask(`data:image/png;base64,${data}`);
    const messages = path.join(path.dirname(recipe), 'served.json');
    writeFileSync(messages, JSON.stringify(rows[0]!.messages.slice(0, -1)));
    const asked = ['--base', base, '--adapter', adapter, '--messages', messages];
    const own = await cli('generate', ...asked, '--max-new-tokens', '12', '--json');
    const { text } = JSON.parse(own.stdout.trimEnd().split('\n').at(-1)!) as { text: string };
    expect(choices[0]!.message.content).toBe(text.trim());
    const known = readFileSync(path.join(folder, 'expected.json'), 'utf8');
    const { answers } = JSON.parse(known) as { answers: { prompt_ids: number[] }[] };
    expect(usage!.prompt_tokens).toBe(answers[0]!.prompt_ids.length);
    await expect(ask('http://127.0.0.1/a.png')).rejects.toThrow('nothing is downloaded');
    await expect(ask(`data:image/png;base64,${data.slice(0, 400)}`)).rejects.toThrow(
      /image\/png;base64,… \(\d+ characters\) cannot be read/,
    );
  } finally {
    await served.end();
  }
});

it('asks about rows with their images, with others, and with none', async () => {
  const trained = new RunRows(runDir);
  const beside = (name: string) => path.join(path.dirname(recipe), name);
  const question = await trained.question(0, createTokenizer(await tokenizerFiles()));
  expect(question.images).toEqual([beside('wide.png')]);
  const ask = { system: '', prompt: question.prompt, images: question.images };
  const own = rows[0]!.messages[0] as { content: object[] };
  const same = await trained.chat(0, ask, {});
  expect(same.messages).toEqual([
    {
      ...own,
      content: own.content.map((part) =>
        'image' in part ? { ...part, image: beside('wide.png') } : part,
      ),
    },
  ]);
  const other = await trained.chat(0, { ...ask, prompt: 'Why?', images: [beside('tall.png')] }, {});
  expect(other.messages.map(({ content }) => content)).toEqual([
    [
      { type: 'image', image: beside('tall.png') },
      { type: 'text', text: 'Why?' },
    ],
  ]);
  const plain = await trained.chat(2, { system: '', prompt: 'Why?', images: [] }, {});
  expect(plain.messages).toEqual([{ role: 'user', content: 'Why?' }]);
  await trained.close();
});

it('answers a prompt with images in a playground as on the command line', async () => {
  const adapter = path.join(folder, 'adapter');
  const served = new Served('--base', base, '--adapter', adapter, '--run', runDir);
  try {
    const ready = await served.until(() => served.events.find((event) => event.kind === 'ready'));
    expect(ready.reads_images).toBe(true);
    const image = path.join(folder, 'chats', 'wide.png');
    const ask = { chat: true, prompt: 'What is it?', images: [image], max_new_tokens: 12 };
    const text = await served.ask(0, 1, ask);
    const messages = path.join(tempFolder(), 'ask.json');
    const content = [
      { type: 'image', image },
      { type: 'text', text: 'What is it?' },
    ];
    writeFileSync(messages, JSON.stringify([{ role: 'user', content }]));
    const asked = ['--base', base, '--adapter', adapter, '--messages', messages];
    const said = await cli('generate', ...asked, '--max-new-tokens', '12', '--json');
    expect(text).toBe(
      (JSON.parse(said.stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text,
    );
    const done = served.events.findLast((event) => event.kind === 'done');
    const { messages: kept } = JSON.parse(done!.example) as { messages: { content: unknown }[] };
    expect(kept[0]!.content).toEqual(content);
    expect(await served.ask(0, 1, { ...ask, images: [] })).not.toBe(text);
    await expect(served.ask(0, 1, { ...ask, chat: false })).rejects.toThrow(
      'Images can only be in messages of a chat',
    );
    await expect(served.ask(0, 1, { ...ask, images: [`${image}.none`] })).rejects.toThrow(
      /wide\.png\.none cannot be read: it does not exist/,
    );
  } finally {
    await served.end();
  }
});

it('answers the questions of a suite about images as transformers does', async () => {
  const known = readFileSync(path.join(folder, 'expected.json'), 'utf8');
  const { answers } = JSON.parse(known) as { answers: { ids: number[] }[] };
  const tokenizer = createTokenizer(await tokenizerFiles());
  const asked = answers.map(({ ids }, i) => ({
    messages: rows[i]!.messages.slice(0, -1),
    max_new_tokens: 12,
    check: { kind: 'exact', expected: tokenizer.decode(ids, true).trim() },
  }));
  const place = tempFolder();
  cpSync(path.join(folder, 'chats'), place, { recursive: true });
  const suite = path.join(place, 'evals.jsonl');
  writeFileSync(suite, asked.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const ask = (model: string, ...options: string[]) =>
    cli('evaluate', '--suite', suite, '--base', model, ...options, '--json');
  const adapter = ['--column', `adapter=${path.join(folder, 'adapter')}`];
  const { code, stdout, stderr } = await ask(base, ...adapter, '--output', path.join(place, 'out'));
  expect(code, stderr + stdout).toBe(0);
  const written = readFileSync(path.join(place, 'out', 'rows.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const cells = written.map(
    (line) =>
      (JSON.parse(line) as { cells: { answer: string; scores: { exact?: number } }[] }).cells,
  );
  expect(cells.map((own) => own.at(-1)!.scores.exact)).toEqual([1, 1]);
  const plain = await ask(path.join(fixtures, 'llama/base'));
  expect(plain.stderr + plain.stdout).toContain('not supported for llama, only for qwen3_vl');
  rmSync(path.join(place, 'tall.png'));
  const missing = await ask(base);
  expect(missing.code).not.toBe(0);
  expect(missing.stderr + missing.stdout).toMatch(/tall\.png cannot be read: it does not exist/);
});

it('names the row of an image that cannot be read, in a check and in a training', async () => {
  const file = recipeOf();
  rmSync(path.join(path.dirname(file), 'tall.png'));
  const png = path.join(path.dirname(file), 'wide.png');
  writeFileSync(png, readFileSync(png).subarray(0, -20));
  for (const command of ['check', 'train']) {
    const { code, stdout, stderr } = await cli(command, file);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(
      /data\.jsonl:1.*wide\.png cannot be read: the file is cut short/,
    );
    expect(stdout + stderr).toMatch(/data\.jsonl:2.*tall\.png cannot be read: it does not exist/);
  }
});

it.each([
  [{ packing: true }, {}, 'Rows with images cannot be packed'],
  [{ method: 'full' }, {}, 'Rows with images cannot be trained with all weights'],
  [{}, { base: path.join(fixtures, 'llama/base') }, 'not supported for llama, only for qwen3_vl'],
])('refuses what is not supported by name: %j %j', async (training, top, message) => {
  const { code, stdout, stderr } = await cli('train', recipeOf(training, top));
  expect(code).not.toBe(0);
  expect(stdout + stderr).toContain(message);
});

it('tells the size of the tower', async () => {
  const { stdout } = await cli('inspect', base);
  expect(stdout).toContain('Images in chats: read by a vision encoder of 26,840 parameters');
});
