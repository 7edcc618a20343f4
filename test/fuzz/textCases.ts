import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseRecipe } from '../../src/shared/recipeFile';
import { readDataset } from '../support/scannedRows';
import { json } from './damage';
import { damagedLines, otherKinds, readInAllWays } from './datasetLines';
import { imageCases } from './imageCases';
import type { ReaderCase } from './readerCase';
import { runFileCases } from './runFiles';
import { arrayCases, tableCases } from './tableCases';

/** Readers of recipes, datasets, images and the files of runs. */
export const textCases = (): ReaderCase[] => [
  ...recipeCases(),
  ...datasetCases(),
  ...tableCases(),
  ...arrayCases(),
  ...imageCases(),
  ...runFileCases(),
];

function recipeCases(): ReaderCase[] {
  return [
    {
      name: 'recipe',
      files: { 'lora.json': Buffer.from(JSON.stringify(RECIPE)) },
      target: 'lora.json',
      damage: json,
      read: (folder) =>
        Promise.resolve().then(() => {
          parseRecipe(readFileSync(path.join(folder, 'lora.json'), 'utf8'), 'lora.json');
        }),
    },
    {
      name: 'dataset',
      inputs: 500,
      files: { 'data.json': Buffer.from(JSON.stringify(ROWS)) },
      target: 'data.json',
      damage: json,
      read: async (folder) => {
        await readDataset(asLines(path.join(folder, 'data.json')));
      },
    },
  ];
}

function datasetCases(): ReaderCase[] {
  const lines = ROWS.map((row) => `${JSON.stringify(row)}\n`).join('');
  return [
    {
      name: 'dataset lines',
      inputs: 500,
      files: { 'data.jsonl': Buffer.from(lines) },
      target: 'data.jsonl',
      damage: damagedLines,
      read: (folder) => readInAllWays(path.join(folder, 'data.jsonl')),
    },
    {
      name: 'dataset kinds',
      inputs: 500,
      files: { 'data.jsonl': Buffer.from(lines) },
      target: 'data.jsonl',
      damage: otherKinds,
      read: (folder) => readInAllWays(path.join(folder, 'data.jsonl')),
    },
  ];
}

const RECIPE = {
  base: 'b',
  dataset: 'd',
  lora: { r: 8, lora_alpha: 16, target_modules: ['q_proj'], rank_pattern: { q: 4 } },
  training: { learning_rate: 2e-4, num_train_epochs: 3, seed: 1, lr_scheduler_type: 'cosine' },
  samples: { prompts: ['x'] },
};
const ROWS = [
  {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  },
  { prompt: 'a', completion: 'b' },
  { text: 'a' },
  { instruction: 'a', input: '', output: 'b' },
  {
    conversations: [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
    ],
  },
  { input_ids: [1, 2, 3], labels: [-100, 2, 3], attention_mask: [1, 1, 1] },
];

/** Writes the rows as JSON Lines; a file that is not a list is copied unchanged. */
function asLines(file: string): string {
  const lines = path.join(path.dirname(file), 'data.jsonl');
  const text = readFileSync(file, 'latin1');
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    rows = null;
  }
  writeFileSync(
    lines,
    Array.isArray(rows)
      ? rows.map((row) => `${JSON.stringify(row)}\n`).join('')
      : Buffer.from(text, 'latin1'),
  );
  return lines;
}
