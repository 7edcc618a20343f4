import path from 'node:path';
import { expect, it } from 'vitest';
import { recipeProblems } from '../../../../src/host/recipe/recipeProblems';
import { markedColumns } from '../../../../src/host/recipe/markedColumns';
import type { Problem } from '../../../../src/shared/errors';

const file = path.resolve('/w/lora.json');
const base = path.resolve('/w/models/tiny');
const text = `{
  "base": "models/tiny",
  "dataset": "rows.jsonl",
  "lora": {
    "frozen_adapters": ["a", "models/tiny/b"],
    "rank_pattern": { "q": 4 }
  }
}`;
const problem = (place?: Problem['place']): Problem => ({
  severity: 'error',
  message: 'Wrong.',
  ...(place && { place }),
});
const lines = (problems: readonly Problem[]) =>
  problems.map(({ message, place }) => [message, place?.file, place?.line, place?.column]);

it('keeps problems that have a line, and finds the line of a key', () => {
  const placed = problem({ file, line: 6, column: 21 });
  expect(recipeProblems([placed], text, file)).toEqual([placed]);
  expect(lines(recipeProblems([problem({ file, key: 'lora.rank_pattern' })], text, file))).toEqual([
    ['Wrong.', file, 6, 21],
  ]);
});

it('marks the key that names the file of a problem, and says which file it is', () => {
  const config = path.join(base, 'config.json');
  const adapter = path.join(base, 'b', 'adapter_config.json');
  const found = [problem({ file: config, key: 'model_type' }), problem({ file: adapter })];
  expect(lines(recipeProblems(found, text, file))).toEqual([
    [`${config}, key model_type: Wrong.`, file, 2, 11],
    [`${adapter}: Wrong.`, file, 5, 24],
  ]);
  const beside = problem({ file: `${base}-other` });
  expect(lines(recipeProblems([beside], text, file))).toEqual([
    [`${base}-other: Wrong.`, file, 1, 1],
  ]);
});

it('marks the first line where nothing is known of the place', () => {
  expect(lines(recipeProblems([problem()], text, file))).toEqual([['Wrong.', file, 1, 1]]);
});

it('leaves out what is shown already', () => {
  const missing = problem({ file: path.join(base, 'config.json') });
  expect(recipeProblems([missing], text, file, new Set(['base']))).toEqual([]);
});

it('marks values, and the keys of objects and lists', () => {
  const marked = (line: string, value: string) => {
    const { from, to } = markedColumns(line, line.indexOf(value));
    return line.slice(from, to);
  };
  expect(marked('  "r": 8,', '8')).toBe('8');
  expect(marked('  "base": "a, b",', '"a')).toBe('"a, b"');
  expect(marked('  "rank_pattern": { "q": 4 }', '{')).toBe('"rank_pattern"');
  expect(marked('  "target_modules" : ["q"]', '[')).toBe('"target_modules"');
  expect(marked('{', '{')).toBe('{');
  expect(markedColumns('', 0)).toEqual({ from: 0, to: 1 });
});
