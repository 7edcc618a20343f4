import { mkdtempSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeGenerated } from '../../../scripts/schema.mjs';

it('a generated file keeps its time unless its text changes', () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'lora-generated-')), 'page.md');
  writeGenerated(file, 'one');
  utimesSync(file, 1, 1);
  writeGenerated(file, 'one');
  expect(statSync(file).mtimeMs).toBe(1000);
  writeGenerated(file, 'two');
  expect(statSync(file).mtimeMs).toBeGreaterThan(1000);
  expect(readFileSync(file, 'utf8')).toBe('two');
});
