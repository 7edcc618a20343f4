import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { EvalLine } from '../../src/shared/metrics/lines';
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

const ROWS = [7, 3, 40];
const tiedList = path.join(fixtures, 'tokens/tied-list/adapter');
const base = path.join(fixtures, 'llama/base');

describe('trainable_token_indices', () => {
  it.each([
    ['plain', {}],
    ['with packing', { packing: true }],
    ['in bf16', { base_dtype: 'bfloat16' }],
    ['with recomputed layers', { gradient_checkpointing: true }],
  ])('trains rows and resumes to the same bytes, %s', async (_, change) => {
    const recipe = makeRecipe({
      lora: { r: 4, trainable_token_indices: ROWS },
      training: { learning_rate: 1e-2, max_steps: 8, save_steps: 4, ...change },
    });
    const runDir = await train(recipe);
    const { adapter } = await readPeftAdapter(path.join(runDir, 'adapter'));
    expect(adapter.config.trainable_token_indices).toEqual(ROWS);
    expect(adapter.trained).toMatchObject([{ name: 'model.embed_tokens.weight', rows: ROWS }]);
    const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
    expect(evals.at(-1)!.loss).toBeLessThan(evals[0]!.loss);
    expect(weightsOf(await resumedBefore(runDir, 8)).equals(weightsOf(runDir))).toBe(true);
  });

  it('trains an adapter with rows further', async () => {
    const runDir = await train(
      makeRecipe({ lora: { init_adapter: tiedList }, training: { max_steps: 2 } }),
    );
    const [before, after] = await Promise.all(
      [tiedList, path.join(runDir, 'adapter')].map((folder) => readPeftAdapter(folder)),
    );
    expect(after!.adapter.trained[0]!.rows).toEqual(ROWS);
    expect(after!.adapter.trained[0]!.data).not.toEqual(before!.adapter.trained[0]!.data);
  });

  it.each([
    [{ trainable_token_indices: [384] }, /names token 384, but model.embed_tokens has 384 rows/],
    [{ trainable_token_indices: { score: [3] } }, /"score".*neither the embedding nor the output/],
    [{ trainable_token_indices: [3, 3] }, /must name each token once/],
    [{ trainable_token_indices: [] }, /must name at least one token/],
    [
      { trainable_token_indices: [3], target_modules: ['q_proj', 'embed_tokens'] },
      /cannot be combined with LoRA on model.embed_tokens/,
    ],
    [
      { trainable_token_indices: [3], modules_to_save: ['embed_tokens'] },
      /cannot be combined with model.embed_tokens in modules_to_save/,
    ],
    [
      { trainable_token_indices: { embed_tokens: [3], lm_head: [4] } },
      /lm_head has the weight of model.embed_tokens/,
    ],
    [{ trainable_token_indices: [3], init_adapter: tiedList }, /Remove this key/],
  ])('refuses %j before the start', async (lora, message) => {
    const { code, stdout, stderr } = await cli('check', makeRecipe({ lora }));
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(message);
  });

  it('refuses full fine-tuning with rows', async () => {
    const recipe = makeRecipe({
      lora: { trainable_token_indices: [3] },
      training: { method: 'full' },
    });
    const { code, stdout, stderr } = await cli('check', recipe);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(/trains all rows of the embedding/);
  });

  it('is shown by inspect and compare', async () => {
    const inspected = await cli('inspect', tiedList);
    expect(inspected.stdout).toMatch(/rows of 3 tokens in model.embed_tokens.weight: 7, 3, 40/);
    const compared = await cli('compare', tiedList, tiedList);
    expect(compared.stdout).toMatch(/rows 7, 3, 40, trained: equal/);
  });

  it('is refused by formats and jobs that cannot hold rows, by name', async () => {
    const output = path.join(tempFolder(), 'out');
    for (const [to, end] of [
      ['gguf', '.gguf'],
      ['mlx', ''],
      ['kohya', '.safetensors'],
    ] as const) {
      const { code, stderr } = await cli(
        ...['convert', '--adapter', tiedList, '--base', base, '--to', to],
        ...['--output', `${output}${end}`],
      );
      expect(code, to).not.toBe(0);
      expect(stderr).toMatch(/trainable_token_indices/);
    }
    const combined = await cli(
      ...['combine', '--adapter', tiedList, '--adapter', tiedList],
      ...['--type', 'linear', '--output', output],
    );
    expect(combined.code).not.toBe(0);
    expect(combined.stderr).toMatch(/trainable_token_indices/);
  });

  it('keeps rows when the rank is changed', async () => {
    const output = path.join(tempFolder(), 'out');
    const { code, stderr } = await cli(
      ...['resize', '--adapter', tiedList, '--rank', '1', '--output', output],
    );
    expect(code, stderr).toBe(0);
    const [before, after] = await Promise.all(
      [tiedList, output].map((folder) => readPeftAdapter(folder)),
    );
    expect(after!.adapter.trained).toEqual(before!.adapter.trained);
    const config = JSON.parse(readFileSync(path.join(output, 'adapter_config.json'), 'utf8')) as {
      trainable_token_indices: unknown;
    };
    expect(config.trainable_token_indices).toEqual(ROWS);
  });
});
