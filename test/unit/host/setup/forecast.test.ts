import { known } from '../../../support/known';
import { describe, expect, it } from 'vitest';
import { costOf, factsOf } from '../../../../src/host/setup/costs';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { countedFacts } from '../../../../src/host/setup/datasetFacts';
import { batchOf, forecast } from '../../../../src/host/setup/forecast';
import { forecastText } from '../../../../src/host/setup/forecastText';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const base = factsOf(await readBaseHeaders('test/fixtures/llama/base'));
const recipeOf = (training: object = {}, rest: object = {}) =>
  parseRecipe(JSON.stringify({ base: '/m', dataset: '/d.jsonl', training, ...rest }), '/lora.json');
const FACTS = { examples: 150, tokens: 6_000, longest: 45, sequences: 1 };

describe('the largest batch', () => {
  it('has rows as long as the longest of the dataset, in the sizes that batches are padded to', () => {
    expect(batchOf(base, recipeOf(), FACTS)).toEqual({ size: 4, rows: 4, length: 48 });
    expect(batchOf(base, recipeOf({ max_length: 40 }), FACTS).length).toBe(40);
  });

  it('has no more rows than are trained on', () => {
    expect(batchOf(base, recipeOf({ per_device_train_batch_size: 300 }), FACTS).rows).toBe(135);
  });

  it('has rows of max_length if the rows are not counted, or packed', () => {
    expect(batchOf(base, recipeOf(), null).length).toBe(512);
    expect(batchOf(base, recipeOf({ packing: true }), FACTS).length).toBe(512);
  });

  it('has two sequences for each pair, and as many patches as an image', () => {
    expect(batchOf(base, recipeOf({}, { task: 'embedding' }), null).rows).toBe(8);
    const pairs = { ...FACTS, sequences: 3 };
    expect(batchOf(base, recipeOf({}, { task: 'embedding' }), pairs).rows).toBe(12);
    const images = { ...base, batch: { size: 8, rows: 8, length: 197 } };
    const recipe = recipeOf({}, { task: 'image_cls' });
    expect(batchOf(images, recipe, null).length).toBe(197);
    expect(batchOf({ ...images, row_length: 577 }, recipe, null).length).toBe(577);
    expect(batchOf(images, recipe, { ...FACTS, longest: 577 }).length).toBe(577);
  });

  it('needs less memory than one of max_length', () => {
    const memory = (facts: typeof FACTS | null) =>
      known(costOf({ ...base, batch: batchOf(base, recipeOf(), facts) }, 8, 'all-linear').memory);
    expect(memory(FACTS)).toBeLessThan(memory(null));
  });
});

describe('the forecast', () => {
  const speed = { cores: 2, multipliesBf16: true };

  it('counts epochs and steps as a training does, without the rows held out', () => {
    expect(forecast(base, recipeOf(), FACTS, speed)).toMatchObject({ epochs: 3, steps: 102 });
    const all = recipeOf({ gradient_accumulation_steps: 2 }, { validation: '/v.jsonl' });
    expect(forecast(base, all, FACTS, speed).steps).toBe(57);
    expect(forecast(base, recipeOf({ max_steps: 17 }), FACTS, speed)).toMatchObject({
      epochs: 0.5,
      steps: 17,
    });
  });

  it('takes as long as the benchmarks say: 880 tokens per second of 134.5 M parameters', () => {
    const rows = { examples: 1_000, tokens: 1_000 * 256, longest: 256, sequences: 1 };
    const recipe = recipeOf({ num_train_epochs: 1 }, { validation_split: 0 });
    const { seconds } = forecast({ parameters: 134.5e6 }, recipe, rows, speed);
    expect(seconds! / (rows.tokens / 880)).toBeCloseTo(1.25, 1);
  });

  it('includes a teacher, which reads all rows once', () => {
    const alone = forecast({ parameters: 134.5e6 }, recipeOf(), FACTS, speed).seconds!;
    const models = { parameters: 134.5e6, teacher: { parameters: 360e6 } };
    const taught = forecast(models, recipeOf(), FACTS, speed).seconds!;
    expect(taught - alone).toBeCloseTo((0.5 * FACTS.tokens * 360e6) / (2 * 6e10), 3);
  });

  it('reads as one line', () => {
    expect(forecastText({ epochs: 3, steps: 1_140, seconds: 63 })).toBe(
      '3 epochs, 1,140 steps, about 1 min',
    );
    expect(forecastText({ epochs: 1, steps: 1, seconds: null })).toBe('1 epoch, 1 step');
  });
});

describe('the facts of a dataset', () => {
  const dataset = (statistics: object | null) => ({ statistics }) as never;
  const statistics = {
    examples: 10,
    tokens: 200,
    longest: 30,
    sequences: 2,
    images: { largest: 16, tokens: 9 },
  };

  it('have the longest row of all files, and the examples of the first', () => {
    const images = { largest: 64, tokens: 20 };
    const validation = { examples: 2, tokens: 90, longest: 80, sequences: 3, images };
    expect(countedFacts({ datasets: [dataset(statistics), dataset(validation)] })).toEqual({
      examples: 10,
      tokens: 200,
      longest: 80,
      sequences: 3,
      images: { largest: 64, tokens: 29 },
    });
  });

  it('are unknown if a file has rows that cannot be counted', () => {
    expect(countedFacts({ datasets: [dataset(statistics), dataset(null)] })).toBeNull();
    expect(countedFacts({ datasets: [] })).toBeNull();
  });
});
