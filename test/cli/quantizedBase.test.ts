import { describe, expect, it } from 'vitest';
import {
  cli,
  makeRecipe,
  recordOf,
  resumedBefore,
  stepsOf,
  train,
  weightsOf,
} from '../support/commandLine';
import { smollm2Path } from '../support/realModels';

const recipeWith = async (training: object, lora = {}, top = {}): Promise<string> =>
  makeRecipe({
    top: { base: await smollm2Path(), validation_split: 0, ...top },
    lora: { r: 4, target_modules: ['q_proj', 'v_proj', 'down_proj'], ...lora },
    training: { max_steps: 2, save_steps: 1, per_device_train_batch_size: 2, ...training },
  });
const lossesOf = (dir: string) => stepsOf(dir).map(({ loss, grad_norm }) => [loss, grad_norm]);

describe('a base that stays quantized', () => {
  it.each([
    ['LoRA', {}],
    ['DoRA on the embedding, too', { use_dora: true, target_modules: ['q_proj', 'embed_tokens'] }],
  ])('trains %s as its numbers do, and resumes to the same bytes', async (_, lora) => {
    const dir = await train(await recipeWith({ base_dtype: 'quantized' }, lora));
    const { step_plan } = recordOf(dir);
    expect(step_plan).toMatchObject({ quantized: true });
    const { base_dtype } = step_plan!;
    const dense = await train(await recipeWith({ base_dtype }, lora));
    expect(recordOf(dense).step_plan?.quantized).toBeUndefined();
    expect(lossesOf(dir)).toEqual(lossesOf(dense));
    expect(weightsOf(dir).equals(weightsOf(dense))).toBe(true);
    const resumed = await resumedBefore(dir, 2);
    expect(weightsOf(resumed).equals(weightsOf(dir))).toBe(true);
    expect(recordOf(resumed).step_plan).toEqual(step_plan);
  });

  it('learns from a quantized teacher as from its numbers, and trains rows of tokens', async () => {
    const objective = { method: 'distill', teacher: await smollm2Path(), top_k: 8 };
    const run = (base_dtype: string) =>
      recipeWith({ base_dtype }, { trainable_token_indices: [49_000] }, { objective });
    const dir = await train(await run('quantized'));
    const dense = await train(await run(recordOf(dir).step_plan!.base_dtype));
    expect(lossesOf(dir)).toEqual(lossesOf(dense));
    expect(weightsOf(dir).equals(weightsOf(dense))).toBe(true);
  });

  it('answers as its numbers do', async () => {
    const answer = async (dtype: string) => {
      const prompt = ['--prompt', 'What is a mouse?', '--max-new-tokens', '12'];
      const { code, stdout } = await cli(
        'generate',
        ...['--base', await smollm2Path(), '--base-dtype', dtype, ...prompt],
      );
      expect(code).toBe(0);
      return stdout;
    };
    expect((await answer('quantized')).length).toBeGreaterThan(20);
    expect(await answer('quantized')).toBe(await answer('auto'));
  });

  it('says that a base is not quantized', async () => {
    const dir = await train(
      makeRecipe({ training: { base_dtype: 'quantized', max_steps: 1 } }),
      /base_dtype is quantized, but .* has no quantized weights: float32 is used\. "quantize": "nf4"/,
    );
    expect(recordOf(dir).step_plan).toEqual({ base_dtype: 'float32', recomputed_layers: 0 });
  });
});
