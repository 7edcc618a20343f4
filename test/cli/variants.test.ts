import { firstPathOf } from '../../src/shared/datasetSources';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
  type RecipeChange,
} from '../support/commandLine';

interface Variant extends RecipeChange {
  readonly base: string;
}

const training = { max_steps: 12, learning_rate: 5e-3, loraplus_lr_ratio: null };

/** Every way to train that a recipe can ask for, on a family each. */
const VARIANTS: Readonly<Record<string, Variant>> = {
  'DoRA on qwen3': { base: 'qwen3', lora: { use_dora: true } },
  'DoRA on Conv1D and an embedding of gpt2': {
    base: 'gpt2',
    lora: { use_dora: true, target_modules: ['c_attn', 'c_proj', 'wte'] },
  },
  'rank and alpha patterns on gemma': {
    base: 'gemma',
    lora: {
      r: 4,
      rank_pattern: { q_proj: 2, 'layers.1.mlp.up_proj': 6 },
      alpha_pattern: { q_proj: 5 },
      exclude_modules: ['o_proj'],
    },
  },
  'one layer of phi3': {
    base: 'phi3',
    lora: { target_modules: ['qkv_proj', 'gate_up_proj'], layers_to_transform: [1] },
  },
  'all biases of gpt_neox': { base: 'gpt_neox', lora: { bias: 'all' } },
  "the adapted layers' biases of qwen2": {
    base: 'qwen2',
    lora: { bias: 'lora_only', target_modules: ['q_proj', 'v_proj'] },
  },
  "the output layer whole, beside mistral's LoRA": {
    base: 'mistral',
    lora: { modules_to_save: ['lm_head'], target_modules: ['q_proj', 'v_proj'] },
  },
  'a tied output layer whole': {
    base: 'llama',
    lora: { modules_to_save: ['lm_head'], target_modules: ['q_proj'] },
  },
  'LoRA and DoRA on a tied output layer': {
    base: 'llama',
    lora: { use_dora: true, target_modules: ['lm_head', 'q_proj'] },
  },
  'a tied embedding whole': {
    base: 'llama',
    lora: { modules_to_save: ['embed_tokens'], target_modules: ['q_proj'] },
  },
  'an adapted embedding and output layer': {
    base: 'llama3',
    lora: { target_modules: ['embed_tokens', 'lm_head', 'q_proj'] },
  },
  'every norm of qwen3, also those of queries and keys': {
    base: 'qwen3',
    lora: { modules_to_save: ['norm'], target_modules: ['q_proj'] },
  },
  'all layers of gemma4, also those of its per-layer embeddings': {
    base: 'gemma4',
    lora: { target_modules: 'all-linear' },
  },
  'LoRA+': { base: 'llama', lora: {}, training: { loraplus_lr_ratio: 8 } },
  'a gaussian start': { base: 'llama', lora: { init_lora_weights: 'gaussian' } },
  'an orthogonal start': { base: 'llama', lora: { r: 4, init_lora_weights: 'orthogonal' } },
  PiSSA: { base: 'llama', lora: { init_lora_weights: 'pissa' } },
  'PiSSA with rsLoRA and patterns': {
    base: 'llama',
    lora: {
      init_lora_weights: 'pissa',
      use_rslora: true,
      rank_pattern: { q_proj: 4 },
      alpha_pattern: { v_proj: 5 },
    },
  },
  OLoRA: { base: 'llama', lora: { init_lora_weights: 'olora' } },
};

const recipeOf = ({ base, lora, training: own }: Variant) =>
  makeRecipe({
    top: { base: path.join(fixtures, base, 'base') },
    lora: { ...lora },
    training: { ...training, ...own },
  });

describe.each(Object.entries(VARIANTS))('%s', (_, variant) => {
  it('trains, is saved so that it fits the unchanged base, and resumes to the same bytes', async () => {
    const runDir = await train(recipeOf(variant));
    const steps = stepsOf(runDir);
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    expect(steps.every((s) => s.grad_norm > 0)).toBe(true);
    const base = path.join(fixtures, variant.base, 'base');
    const { dataset: named } = recordOf(runDir).recipe;
    const dataset = firstPathOf(named);
    const measured = await cli(
      'evaluate',
      '--base',
      base,
      '--adapter',
      path.join(runDir, 'adapter'),
      '--dataset',
      dataset,
      '--json',
    );
    const trained = await cli(
      'evaluate',
      '--base',
      base,
      '--adapter',
      path.join(runDir, 'checkpoints/step-12'),
      '--dataset',
      dataset,
      '--json',
    );
    expect(measured.code).toBe(0);
    const lossOf = (text: string) => (JSON.parse(text) as { loss: number }).loss;
    const before = lossOf(
      (await cli('evaluate', '--base', base, '--dataset', dataset, '--json')).stdout,
    );
    expect(lossOf(measured.stdout)).toBeLessThan(before);
    const startsWithBase = /pissa|olora/.test(
      String((variant.lora as { init_lora_weights?: string }).init_lora_weights),
    );
    if (!startsWithBase) expect(lossOf(measured.stdout)).toBe(lossOf(trained.stdout));
    expect(weightsOf(await resumedBefore(runDir, 12)).equals(weightsOf(runDir))).toBe(true);
  });
});

it('a tied output layer in modules_to_save is trained apart from the embedding, and saved', async () => {
  const runDir = await train(
    recipeOf({ base: 'llama', lora: { modules_to_save: ['lm_head'], target_modules: ['q_proj'] } }),
  );
  const base = await openBase(path.join(fixtures, 'llama/base'));
  const { adapter } = await readPeftAdapter(path.join(runDir, 'adapter'), adapterBaseOf(base));
  const start = await base.weights.readF32('model.embed_tokens.weight');
  await base.close();
  expect(adapter.trained.map((t) => t.name)).toEqual(['lm_head.weight']);
  expect(adapter.trained[0]!.data).not.toEqual(start);
});

it("PiSSA starts with the base's loss, and is saved with twice the rank", async () => {
  const variant = { base: 'llama', lora: { r: 3, init_lora_weights: 'pissa' } };
  const runDir = await train(recipeOf({ ...variant, training: { max_steps: 1, warmup_ratio: 0 } }));
  const plain = await train(
    recipeOf({ base: 'llama', lora: { r: 3 }, training: { max_steps: 1, warmup_ratio: 0 } }),
  );
  expect(stepsOf(runDir)[0]!.loss).toBeCloseTo(stepsOf(plain)[0]!.loss, 4);
  const base = await openBase(path.join(fixtures, 'llama/base'));
  const { adapter, warnings } = await readPeftAdapter(
    path.join(runDir, 'adapter'),
    adapterBaseOf(base),
  );
  await base.close();
  expect(warnings).toEqual([]);
  expect([
    adapter.config.r,
    adapter.config.lora_alpha,
    adapter.config.raw['init_lora_weights'],
  ]).toEqual([6, 32, true]);
});

it.each([
  [
    'llama',
    { modules_to_save: ['lm_haed'] },
    /"lm_haed" in modules_to_save is not a module of this base; did you mean "lm_head"\?/,
  ],
])('on %s, %j is refused', async (family, lora, message) => {
  const { code, stderr } = await cli(
    'train',
    makeRecipe({ top: { base: path.join(fixtures, family, 'base') }, lora }),
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
});

describe('the logits of other models', () => {
  it.each([
    'bert/seq-cls',
    'qwen3/dora',
    'gpt2/fan-in-fan-out',
    'gpt_neox/bias-lora-only',
    'mistral/modules-to-save-lm-head',
  ])('%s by the command line', async (name) => {
    const output = path.join(tempFolder(), 'out.safetensors');
    const at = (...parts: string[]) => path.join(fixtures, name, ...parts);
    const { code, stderr } = await cli(
      'logits',
      '--base',
      at('../base'),
      '--adapter',
      at('adapter'),
      '--input',
      at('expected.json'),
      '--output',
      output,
      '--grads',
    );
    expect([code, stderr.includes('Error')]).toEqual([0, false]);
  });

  it('a model that cannot write text is not trained to', async () => {
    const { code, stderr } = await cli(
      'train',
      makeRecipe({ top: { base: path.join(fixtures, 'bert/base') } }),
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/A bert model does not support the task "causal_lm"/);
  });
});

describe('adapters on top of each other', () => {
  const base = path.join(fixtures, 'llama/base');
  const lossOf = async (dataset: string, ...adapters: readonly string[]) => {
    const { stdout, code } = await cli(
      'evaluate',
      '--base',
      base,
      ...adapters.flatMap((own) => ['--adapter', own]),
      '--dataset',
      dataset,
      '--json',
    );
    expect(code).toBe(0);
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { loss: number }).loss;
  };

  it('a new one over two frozen ones: it starts with their loss, trains, and each can be left out', async () => {
    const [first, second] = [
      path.join(fixtures, 'llama/pair/adapter_a'),
      path.join(fixtures, 'llama/pair/adapter_b'),
    ];
    const runDir = await train(
      makeRecipe({
        lora: { frozen_adapters: [first, second], target_modules: ['q_proj', 'up_proj'] },
        training: { ...training, max_steps: 12 },
      }),
      /made for fixtures\/llama-tiny/,
    );
    const { dataset: named } = recordOf(runDir).recipe;
    const dataset = firstPathOf(named);
    const steps = stepsOf(runDir);
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    const [below, all, alone, none] = [
      await lossOf(dataset, first, second),
      await lossOf(dataset, first, second, path.join(runDir, 'adapter')),
      await lossOf(dataset, path.join(runDir, 'adapter')),
      await lossOf(dataset),
    ];
    expect(all).toBeLessThan(below);
    expect(new Set([below, all, alone, none]).size).toBe(4);
    const evals = metricsOf(runDir).filter((line) => line.kind === 'eval');
    expect(Number.isFinite(evals[0]!.loss)).toBe(true);
    const beside = (adapter: string) => path.relative(path.join(runDir, 'adapter'), adapter);
    expect(readFileSync(path.join(runDir, 'adapter/README.md'), 'utf8')).toContain(
      `On top of | ${beside(first)}, ${beside(second)} |`,
    );
  });

  it('combinations that are not supported are refused', async () => {
    const refusal = async (lora: object) =>
      (
        await cli(
          'train',
          makeRecipe({ top: { base: path.join(fixtures, 'qwen3/base') }, lora }),
          '--run-dir',
          path.join(tempFolder(), 'run'),
        )
      ).stderr;
    const dora = path.join(fixtures, 'qwen3/dora/adapter');
    expect(await refusal({ frozen_adapters: [dora] })).toMatch(
      /DoRA adapter \(.*\) cannot be used below another one/,
    );
    expect(
      await refusal({
        frozen_adapters: [path.join(fixtures, 'qwen3/regex/adapter')],
        use_dora: true,
      }),
    ).toMatch(/lora\.json:\d+.*DoRA cannot be combined with frozen_adapters/s);
  });
});

it('packed rows need fewer steps of more examples, and resume to the same bytes', async () => {
  const rows = Array.from({ length: 24 }, (_, i) => ({
    messages: [
      { role: 'user', content: `say ${i}` },
      { role: 'assistant', content: `it is ${i}` },
    ],
  }));
  const recipe = (packing: boolean) =>
    makeRecipe(
      {
        top: { validation_split: 0 },
        training: {
          packing,
          max_steps: null,
          num_train_epochs: 2,
          per_device_train_batch_size: 1,
          max_length: 96,
          save_steps: 2,
        },
      },
      rows,
    );
  const [packed, single] = [await train(recipe(true)), await train(recipe(false))];
  const tokens = (runDir: string) => stepsOf(runDir).reduce((sum, step) => sum + step.tokens, 0);
  expect(tokens(packed)).toBe(tokens(single));
  expect(stepsOf(packed).length).toBeLessThan(stepsOf(single).length / 2);
  const last = stepsOf(packed).at(-1)!.step;
  expect(weightsOf(await resumedBefore(packed, last)).equals(weightsOf(packed))).toBe(true);
});
