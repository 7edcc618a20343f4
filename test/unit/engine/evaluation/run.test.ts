import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { runEvaluation } from '../../../../src/engine/evaluation/run';
import { SuiteRowSchema } from '../../../../src/shared/evaluation/suite';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures');

/** A base without a chat template. */
function baseWithoutTemplate(): string {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-base-')), 'base');
  cpSync(path.join(FIXTURES, 'llama/base'), folder, { recursive: true });
  const file = path.join(folder, 'tokenizer_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...config, chat_template: null }));
  return folder;
}

const messages = [{ role: 'user', content: 'Hello' }];

describe('an evaluation', () => {
  it('whose base lacks a chat template is refused before a model answers', async () => {
    const row = v.parse(SuiteRowSchema, { messages, check: { kind: 'regex', pattern: '.' } });
    let hasStarted = false;
    const result = runEvaluation(
      {
        ...{
          id: 'e',
          suites: [],
          below: [],
          opening: {},
          judge: null,
          base: baseWithoutTemplate(),
        },
        cases: [{ index: 0, suite: 'own', file: 'evals.jsonl', line: 3, row }],
        columns: [
          { kind: 'endpoint', name: 'there', url: 'http://127.0.0.1:1/v1', model: 'm' },
          { kind: 'base', name: 'base' },
        ],
        settings: { temperature: 0, seed: 0, max_new_tokens: 1 },
        endpoints: { key: null, timeout: 1000 },
      },
      { dist: 'none', warn: () => undefined },
      {
        onStart: () => (hasStarted = true),
        onProgress: () => undefined,
        onCell: () => undefined,
        signal: new AbortController().signal,
      },
    );
    await expect(result).rejects.toMatchObject({
      message: 'The base has no chat template, which the row needs.',
      place: { file: 'evals.jsonl', line: 3 },
    });
    expect(hasStarted).toBe(false);
  });
});
