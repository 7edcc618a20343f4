import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  prepareData,
  readData,
  type DataRecipe,
  type DataTools,
} from '../../src/data/dataset/prepare';
import type { UnpairedExample } from '../../src/data/examples/example';
import { ROW_SETTINGS } from '../../src/data/rows/settings';
import { mismatchedExamples } from '../../src/engine/comparisons/comparisons';
import { smallTokenizer } from './datasets';
import { readJson } from './models';
import { temp } from './temp';

/** What TRL measures the KL divergence of kto with where answers are cut. */
export const ktoCut = readJson('kto_cut.json') as {
  readonly max_length: number;
  readonly rows: readonly object[];
  readonly KL_input_ids: readonly (readonly number[])[];
  readonly policy: readonly number[];
  readonly reference: readonly number[];
};

/** The same rows as this program reads and mismatches them. */
export async function mismatchedRows(): Promise<readonly UnpairedExample[]> {
  const dataset = path.join(temp(), 'kto.jsonl');
  writeFileSync(dataset, ktoCut.rows.map((row) => JSON.stringify(row)).join('\n'));
  const recipe: DataRecipe = {
    ...ROW_SETTINGS,
    objective: { method: 'kto' } as NonNullable<DataRecipe['objective']>,
    problem_type: null,
    dataset,
    validation: null,
    validation_split: 0,
    labels: 'assistant',
    training: { max_length: ktoCut.max_length, seed: 1, packing: false },
  };
  const tools: DataTools = {
    tokenizer: smallTokenizer(),
    images: null,
    has_types: false,
    max_positions: 64,
    vocab_size: 384,
  };
  const { train, close } = await prepareData(await readData(recipe, null), recipe, tools);
  const examples = Array.from({ length: train.length }, (_, i) => train.at(i) as UnpairedExample);
  close();
  return mismatchedExamples(examples, ktoCut.max_length);
}
