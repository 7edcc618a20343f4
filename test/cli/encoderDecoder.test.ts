import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
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
} from '../support/commandLine';
import { tensorsIn } from '../support/conversions';

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

it('an encoder-decoder trains, is evaluated, and resumes to the same bytes', async () => {
  const colours = ['red', 'blue', 'green'];
  const rows = Array.from({ length: 24 }, (_, i) => ({
    input: `the ${colours[i % 3]!} hat ${i}`,
    output: `it is ${colours[i % 3]!}`,
  }));
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
  const gguf = path.join(tempFolder(), 'a.gguf');
  const training = (change: { readonly lora?: object; readonly training?: object }) => {
    const top = { base, task: 'seq2seq_lm' };
    const recipe = makeRecipe(
      { top, ...change, training: { max_steps: 1, ...change.training } },
      rows,
    );
    return ['train', recipe, '--run-dir', run()];
  };
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [training({ training: { method: 'full' } }), /relative_attention_bias.* cannot be trained/],
    [training({ lora: { target_modules: ['shared'] } }), /"shared" is not a module of this base/],
    [training({ lora: { modules_to_save: ['shared'] } }), /The module shared of t5 cannot be/],
    [training({ lora: { trainable_token_indices: [5] } }), /The module shared of t5 cannot be/],
    [['serve', '--http', '--base', base, '--port', '0'], /An encoder-decoder .* cannot be served/],
    [
      ['convert', '--adapter', adapter, '--to', 'gguf', '--base', base, '--output', gguf],
      /the names of the family "t5" in llama\.cpp are not known/,
    ],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await cli(...args);
    expect(code, args.join(' ')).not.toBe(0);
    expect(stderr + stdout).toMatch(message);
  }
});
