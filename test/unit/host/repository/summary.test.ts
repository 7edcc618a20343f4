import { expect, it } from 'vitest';
import { summaryOf } from '../../../../src/host/repository/summary';

it('tells what was made of a repository, and what was left out, most first', () => {
  const secrets = Array.from({ length: 9 }, (_, i) => ({
    file: `src/${i}.ts`,
    line: i + 1,
    kind: 'GitHub token',
  }));
  const prepared = { recipe: '/w/lora.json', fim: true, files: 20, rows: 90, validation_rows: 5 };
  const text = summaryOf({ ...prepared, left_out: { binary: 2, lock: 3, secret: 9 }, secrets });
  expect(text.split('\n')).toEqual([
    'Files: 20, rows: 90, rows for validation: 5.',
    'Fill-in-the-middle rows: only the middle of each text is learned.',
    'Files that are left out: with secrets: 9, lock files: 3, binary: 2.',
    ...secrets.slice(0, 8).map(({ file, line }) => `  ${file}:${line}: GitHub token`),
    '  …',
  ]);
  expect(summaryOf({ ...prepared, fim: false, left_out: {}, secrets: [] }).split('\n')).toEqual([
    'Files: 20, rows: 90, rows for validation: 5.',
    'The base has no fill-in-the-middle tokens: whole texts are learned.',
  ]);
});
