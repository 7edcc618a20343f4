import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type OpenAI from 'openai';
import { expect, it } from 'vitest';
import { firstPathOf } from '../../src/shared/datasetSources';
import type { EvalLine, SampleLine } from '../../src/shared/metrics/lines';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  tempFolder,
  train,
  weightsOf,
  type RecipeChange,
} from '../support/commandLine';
import { tensorsIn } from '../support/conversions';
import { Served } from '../support/served';
import { ServedHttp } from '../support/servedHttp';

const base = path.join(fixtures, 't5/base');
const adapter = path.join(fixtures, 't5/qv/adapter');

interface Expected {
  readonly inputs: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly adapter_loss: number;
}

const textOf = (stdout: string): string =>
  (JSON.parse(stdout.trim().split('\n').at(-1)!) as { text: string }).text;

it('logits, loss and gradients of an encoder-decoder are those of PEFT', async () => {
  const folder = path.join(fixtures, 't5/qv');
  const expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Expected;
  const [input, output] = ['in.json', 'out.safetensors'].map((own) =>
    path.join(tempFolder(), own),
  ) as [string, string];
  writeFileSync(input, JSON.stringify(expected.inputs));
  const { code, stderr } = await cli(
    ...['logits', '--base', base, '--adapter', adapter],
    ...['--input', input, '--output', output, '--grads'],
  );
  expect(code, stderr).toBe(0);
  const have = await tensorsIn(output);
  const want = await tensorsIn(path.join(folder, 'expected.safetensors'));
  const gradients = [...want.keys()].filter((name) => name.startsWith('grad.'));
  expect([...have.keys()].sort()).toEqual([...gradients, 'logits', 'loss'].sort());
  expect(Math.abs(have.get('loss')!.data[0]! - expected.adapter_loss)).toBeLessThan(7e-5);
  const pairs = [['logits', 'adapter.logits'], ...gradients.map((name) => [name, name])];
  for (const [own, name] of pairs as [string, string][]) {
    const [a, b] = [have.get(own)!, want.get(name)!];
    expect(a.shape).toEqual(b.shape);
    const largest = b.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const most = own === 'logits' ? 5e-5 * Math.max(1, largest) : 1e-4 * Math.max(1e-2, largest);
    a.data.forEach((value, i) => expect(Math.abs(value - b.data[i]!), own).toBeLessThan(most));
  }
});

/** Rows of three colours, and a training run on them. */
function colourRows(): object[] {
  const colours = ['red', 'blue', 'green'];
  return Array.from({ length: 24 }, (_, i) => ({
    input: `the ${colours[i % 3]!} hat ${i}`,
    output: `it is ${colours[i % 3]!}`,
  }));
}

const saved = { eval_steps: 10, save_steps: 10, per_device_train_batch_size: 6 };
const top = { base, task: 'seq2seq_lm', validation_split: 0.25 };

it('all weights of an encoder-decoder train, and go on from a checkpoint to the same bytes', async () => {
  const training = { ...saved, method: 'full', max_steps: 20, learning_rate: 5e-3 };
  const runDir = await train(makeRecipe({ top, training }, colourRows()));
  const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
  expect(evals.at(-1)!.loss).toBeLessThan(0.9 * evals[0]!.loss);
  const modelOf = (folder: string) => readFileSync(path.join(folder, 'model/model.safetensors'));
  const trained = await tensorsIn(path.join(runDir, 'model/model.safetensors'));
  const before = await tensorsIn(path.join(base, 'model.safetensors'));
  expect([...trained.keys()].sort()).toEqual([...before.keys()].sort());
  for (const [name, { data }] of trained)
    expect(
      data.some((value, i) => value !== before.get(name)!.data[i]),
      name,
    ).toBe(true);
  expect(modelOf(await resumedBefore(runDir, 20, 'model')).equals(modelOf(runDir))).toBe(true);
  const file = firstPathOf(recordOf(runDir).recipe.dataset);
  const { stdout } = await cli(
    ...['evaluate', '--base', path.join(runDir, 'model'), '--dataset', file, '--json'],
  );
  expect((JSON.parse(stdout) as { loss: number }).loss).toBeLessThan(evals[0]!.loss);
});

it('an adapter of a quantized encoder-decoder trains until its loss falls too little', async () => {
  const training = {
    ...saved,
    ...{ max_steps: 60, eval_steps: 4, quantize: 'nf4' },
    early_stopping_patience: 2,
    early_stopping_threshold: 9,
  };
  const lora = { target_modules: ['q', 'v'] };
  const runDir = await train(makeRecipe({ top, lora, training }, colourRows()));
  expect(recordOf(runDir).state).toBe('completed');
  const steps = metricsOf(runDir).filter(({ kind }) => kind === 'step');
  expect(steps).toHaveLength(12);
});

it('an encoder-decoder is served: its completions are what it generates', async () => {
  const served = new ServedHttp(['--base', base, '--adapter', adapter]);
  try {
    const client = await served.client();
    const [, model] = (await served.ready).models as [string, string];
    const prompt = 'Hello there, what is this?';
    const asked = { model, prompt, max_tokens: 20, temperature: 0 };
    const { choices } = await client.completions.create(asked);
    const generated = await cli(
      ...['generate', '--base', base, '--adapter', adapter, '--prompt', prompt, '--json'],
      ...['--max-new-tokens', '20'],
    );
    expect(choices[0]!.text).toBe(textOf(generated.stdout));
    const stream = await client.completions.create({ ...asked, stream: true });
    let text = '';
    for await (const part of stream) text += part.choices[0]!.text;
    expect(text).toBe(choices[0]!.text);
    const refused = async (ask: Promise<unknown>) =>
      ask.then(
        () => 'answered',
        (error: unknown) => (error as InstanceType<typeof OpenAI.APIError>).message,
      );
    const messages = [{ role: 'user' as const, content: prompt }];
    expect(await refused(client.chat.completions.create({ model, messages }))).toMatch(
      'The base has no chat template: use /v1/completions.',
    );
    expect(await refused(client.completions.create({ ...asked, echo: true }))).toMatch(
      /echo.* cannot be used: the answers of an encoder-decoder follow no text/,
    );
  } finally {
    await served.end();
  }
});

it('the playground asks an encoder-decoder the rows of its run, with a SentencePiece file alone', async () => {
  const ofPieces = tempFolder();
  const pieces = path.join(fixtures, 'sentencepiece/t5');
  for (const name of ['config.json', 'model.safetensors'])
    copyFileSync(path.join(base, name), path.join(ofPieces, name));
  for (const name of ['spiece.model', 'tokenizer_config.json'])
    copyFileSync(path.join(pieces, name), path.join(ofPieces, name));
  const training = { max_steps: 1, per_device_train_batch_size: 2 };
  const lora = { target_modules: ['q', 'v'] };
  const recipe = { top: { ...top, base: ofPieces, validation_split: 0 }, lora, training };
  const runDir = await train(makeRecipe(recipe, colourRows()));
  const trained = path.join(runDir, 'adapter');
  const served = new Served('--base', ofPieces, '--adapter', trained, '--run', runDir);
  try {
    served.send({ kind: 'row', index: 3 });
    const found = await served.until(() =>
      served.events.find(({ kind }) => kind === 'row' || kind === 'rowFailed'),
    );
    const row = { index: 3, line: 4, prompt: 'the red hat 3', expected: 'it is red', before: [] };
    expect(found).toMatchObject({ kind: 'row', row });
    const answer = await served.ask(0, 1, { prompt: 'the red hat 3', row: 3 });
    const generated = await cli(
      ...['generate', '--base', ofPieces, '--adapter', trained, '--prompt', 'the red hat 3'],
      ...['--max-new-tokens', '8', '--json'],
    );
    expect(answer).toBe(textOf(generated.stdout));
    await expect(served.ask(0, 1, { chat: true })).rejects.toThrow('has no chat template');
  } finally {
    await served.end();
  }
});

it('an encoder-decoder answers suites, and is measured on answers', async () => {
  const prompt = 'Hello there, what is this?';
  const answer = ['--prompt', prompt, '--max-new-tokens', '20', '--json'];
  const written = await cli('generate', '--base', base, '--adapter', adapter, ...answer);
  const expected = textOf(written.stdout);
  const kinds = ['exact', 'rouge_l', 'bleu', 'chrf', 'perplexity'];
  const choice = { kind: 'choice', choices: ['red', expected], expected: 1 };
  const checks = [...kinds.map((kind) => ({ kind, expected })), choice];
  const file = path.join(tempFolder(), 'suite.jsonl');
  const rows = checks.map((check) => ({ prompt, max_new_tokens: 20, check }));
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const { stdout, stderr, code } = await cli(
    ...['evaluate', '--suite', file, '--base', base, '--json'],
    ...['--column', 'base', '--column', `adapter=${adapter}`],
  );
  expect(code, stderr).toBe(0);
  const lines = stdout.trim().split('\n');
  const { evaluation } = JSON.parse(lines.at(-1)!) as {
    readonly evaluation: {
      readonly scores: readonly {
        readonly metric: string | null;
        readonly columns: readonly { readonly value: number | null }[];
      }[];
    };
  };
  const valueOf = (metric: string, column: number) =>
    evaluation.scores.find((own) => own.metric === metric)!.columns[column]!.value!;
  for (const [metric, best] of Object.entries({ exact: 1, rouge_l: 1, bleu: 100, chrf: 100 }))
    expect(valueOf(metric, 1), metric).toBeCloseTo(best, 6);
  expect(valueOf('exact', 0)).toBe(0);
  expect(valueOf('perplexity', 1)).toBeLessThan(valueOf('perplexity', 0));
  const text = path.join(tempFolder(), 'text.jsonl');
  writeFileSync(text, JSON.stringify({ text: 'the old mill', check: { kind: 'perplexity' } }));
  const refused = await cli('evaluate', '--suite', text, '--base', base, '--column', 'base');
  expect([refused.code, refused.stderr + refused.stdout]).toEqual([
    1,
    expect.stringContaining('it gives a text alone no perplexity.') as string,
  ]);
});

it('an encoder-decoder trains, is evaluated, and resumes to the same bytes', async () => {
  const rows = colourRows();
  const change = {
    top: { base, task: 'seq2seq_lm', validation_split: 0.25, samples: { sample_steps: 10 } },
    lora: { target_modules: ['q', 'v'], lora_dropout: 0.1 },
    training: {
      max_steps: 20,
      per_device_train_batch_size: 6,
      learning_rate: 1e-2,
      eval_steps: 10,
      save_steps: 10,
    },
  };
  const runDir = await train(makeRecipe(change, rows));
  const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
  expect(evals.map(({ step, scores }) => [step, Object.keys(scores!)])).toEqual(
    [0, 10, 20].map((step) => [step, ['perplexity']]),
  );
  expect(evals[2]!.loss).toBeLessThan(0.9 * evals[0]!.loss);
  const samples = metricsOf(runDir).filter((line): line is SampleLine => line.kind === 'sample');
  expect(samples.map(({ expected }) => expected)).toContain('it is red');
  const config = JSON.parse(
    readFileSync(path.join(runDir, 'adapter/adapter_config.json'), 'utf8'),
  ) as object;
  expect(config).toMatchObject({ task_type: 'SEQ_2_SEQ_LM', target_modules: ['q', 'v'] });
  expect(weightsOf(await resumedBefore(runDir, 20)).equals(weightsOf(runDir))).toBe(true);
  const file = firstPathOf(recordOf(runDir).recipe.dataset);
  const measured = await cli(
    ...['evaluate', '--base', base, '--adapter', path.join(runDir, 'adapter')],
    ...['--dataset', file, '--json'],
  );
  const { perplexity } = JSON.parse(measured.stdout) as { perplexity: number };
  expect(perplexity).toBeLessThan(evals[0]!.scores!.perplexity!);
});

it('a merged encoder-decoder writes what base and adapter write, and transformers too', async () => {
  const output = path.join(tempFolder(), 'merged');
  const merged = await cli('merge', '--base', base, '--adapter', adapter, '--output', output);
  expect(merged.code, merged.stderr).toBe(0);
  expect(merged.stdout).toMatch(/same most likely token at 100\.0% of the positions/);
  const config = (folder: string): unknown =>
    JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'));
  expect(config(output)).toEqual(config(base));
  const answer = ['--prompt', 'Hello there, what is this?', '--max-new-tokens', '20', '--json'];
  const whole = await cli('generate', '--base', output, ...answer);
  const apart = await cli('generate', '--base', base, '--adapter', adapter, ...answer);
  // ids 276 276 276 276 121 223 239 264 264 144 … of transformers
  expect(textOf(apart.stdout)).toBe(
    'rererere\ufffd\u001e\ufffd w w\u03d7 w\ufffd\ufffdV sp\ufffdV\ufffdro',
  );
  expect(textOf(whole.stdout)).toBe(textOf(apart.stdout));
});

it('what encoder-decoders cannot do is refused by its name', async () => {
  const rows = [{ prompt: 'the red hat', completion: 'red' }];
  const run = () => path.join(tempFolder(), 'run');
  const training = (change: Pick<RecipeChange, 'lora' | 'training' | 'top'>) => {
    const top = { base, task: 'seq2seq_lm', ...change.top };
    const recipe = makeRecipe(
      { ...change, top, training: { max_steps: 1, ...change.training } },
      rows,
    );
    return ['train', recipe, '--run-dir', run()];
  };
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [
      training({ lora: { modules_to_save: ['relative_attention_bias'] } }),
      /relative_attention_bias/,
    ],
    [training({ top: { objective: { method: 'dpo' } } }), /dpo, which is for the task causal_lm/],
    [
      training({ top: { objective: { method: 'distill', teacher: base } } }),
      /distill, which is for the task causal_lm/,
    ],
    [training({ lora: { target_modules: ['shared'] } }), /"shared" is not a module of this base/],
    [training({ lora: { modules_to_save: ['shared'] } }), /The module shared of t5 cannot be/],
    [training({ lora: { trainable_token_indices: [5] } }), /The module shared of t5 cannot be/],
    [
      ['convert', '--adapter', adapter, '--to', 'mlx', '--base', base, '--output', run()],
      /the names of the family "t5" in mlx-lm are not known/,
    ],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await cli(...args);
    expect(code, args.join(' ')).not.toBe(0);
    expect(stderr + stdout).toMatch(message);
  }
});
