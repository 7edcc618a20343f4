import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { prepareData, readData, type DataRecipe } from '../../../../src/data/dataset/prepare';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import { compared, samplePrompts } from '../../../../src/engine/training/samples';
import { RecipeSchema, type RecipeInput } from '../../../../src/shared/recipe';
import * as v from 'valibot';
import { smallTokenizer } from '../../../support/datasets';

const folder = mkdtempSync(path.join(tmpdir(), 'samples-'));
const tokenizer = smallTokenizer();
const system = { role: 'system', content: 'Only git.' };
const asked = { role: 'user', content: 'undo' };
const answer = (content: string) => ({ role: 'assistant', content });

async function samplesOf(
  rows: readonly object[],
  samples: RecipeInput['samples'] = {},
  max_length = 200,
) {
  const dataset = path.join(folder, 'rows.jsonl');
  writeFileSync(dataset, rows.map((row) => JSON.stringify(row)).join('\n'));
  const recipe = v.parse(RecipeSchema, {
    base: folder,
    dataset,
    validation_split: 0,
    samples,
    training: { max_length },
  });
  const data: DataRecipe = { ...recipe, ...ROW_SETTINGS };
  const prepared = await prepareData(await readData(data, null), data, {
    tokenizer,
    images: null,
    has_types: false,
    max_positions: 512,
  });
  const warnings: string[] = [];
  const prompts = samplePrompts(recipe, prepared, tokenizer, (text) => warnings.push(text));
  prepared.close();
  return { prompts, warnings };
}

it('asks a row as it is trained: with its system message and its earlier turns', async () => {
  const messages = [system, { role: 'user', content: 'hi' }, answer('hello'), asked];
  const { prompts } = await samplesOf([{ messages: [...messages, answer('git reset')] }]);
  expect(prompts).toHaveLength(1);
  const { input_ids, stop_ids, facts } = prompts[0]!;
  expect(input_ids).toEqual(
    tokenizer.encode(tokenizer.applyChatTemplate(messages, true, {}), false),
  );
  expect(stop_ids.map((id) => tokenizer.decode([id]))).toContain('<|im_end|>');
  expect(facts).toEqual({
    prompt: 'undo',
    line: 1,
    before: [
      { role: 'system', text: 'Only git.' },
      { role: 'user', text: 'hi' },
      { role: 'assistant', text: 'hello' },
    ],
    expected: 'git reset',
  });
});

it('asks for the last answer that is learned and begins within max_length', async () => {
  const unlearnt = { ...answer('later'), weight: 0 };
  const turns = [asked, answer('git reset'), { role: 'user', content: 'x'.repeat(90) }];
  const whole = await samplesOf([{ messages: [...turns, answer('y')] }]);
  expect(whole.prompts[0]!.facts).toMatchObject({ prompt: 'x'.repeat(90), expected: 'y' });
  const kept = await samplesOf([{ messages: [...turns, unlearnt] }]);
  expect(kept.prompts[0]!.facts).toMatchObject({ prompt: 'undo', expected: 'git reset' });
  const cut = await samplesOf([{ messages: [...turns, answer('y')] }], {}, 60);
  expect(cut.prompts[0]!.facts).toMatchObject({ prompt: 'undo', expected: 'git reset' });
});

it('names the tools of a row, and asks completions and no bare texts', async () => {
  const tools = [{ type: 'function', function: { name: 'weather' } }];
  const rows = [
    { text: 'only a text' },
    { messages: [asked, answer('a')], tools },
    { prompt: 'p', completion: ' c' },
  ];
  const { prompts } = await samplesOf(rows);
  expect(prompts.map(({ facts }) => facts)).toEqual([
    { prompt: 'undo', line: 2, before: [{ role: 'tools', text: 'weather' }], expected: 'a' },
    { prompt: 'p', line: 3, expected: 'c' },
  ]);
});

it('asks prompts of the recipe under the system message that the rows share', async () => {
  const row = (line: number) => ({ messages: [system, asked, answer(`git ${line}`)] });
  const { prompts } = await samplesOf([row(1), row(2)], { prompts: ['q'] });
  expect(prompts.map(({ facts }) => facts)).toEqual([
    { prompt: 'q', before: [{ role: 'system', text: 'Only git.' }] },
  ]);
  const bare = { messages: [asked, answer('a')] };
  const mixed = await samplesOf([row(1), bare], { prompts: ['q', 'z'.repeat(300)] });
  expect(mixed.prompts.map(({ facts }) => facts)).toEqual([{ prompt: 'q' }]);
  expect(mixed.warnings).toEqual([
    expect.stringMatching(/is left out: it has \d+ tokens, max_length is 200\.$/),
  ]);
});

it('compares a completion with what was expected', () => {
  expect(compared(' git log\n', 'git log', true)).toEqual({ exact: true });
  expect(compared('git', 'git log', true)).toEqual({ exact: false });
  expect(compared('git', 'git log', false)).toEqual({});
  expect(compared('hg', 'git log', false)).toEqual({ exact: false });
  expect(compared('git', undefined, true)).toEqual({});
});
