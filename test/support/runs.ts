import * as v from 'valibot';
import { RecipeSchema } from '../../src/shared/recipe';
import type { RunRecord } from '../../src/shared/run';

/** The run.json of a running engine, with the given values. */
export function runRecord(values: Partial<RunRecord> = {}): RunRecord {
  return {
    version: 1,
    id: '20260131-142501-7f3a',
    name: 'tiny',
    state: 'running',
    created: '2026-01-31T14:25:01.000Z',
    started: '2026-01-31T14:25:02.000Z',
    ended: null,
    recipe: v.parse(RecipeSchema, { base: '/models/tiny', dataset: '/data/train.jsonl' }),
    recipe_path: '/data/lora.json',
    base: {
      name: 'tiny',
      architecture: 'llama',
      parameters: 1000,
      fingerprint: [{ file: 'model.safetensors', size: 4000, sha256: 'ab'.repeat(32) }],
    },
    data: {
      examples: 8,
      validation_examples: 2,
      tokens: 100,
      labelled_tokens: 40,
      fingerprint: [],
    },
    trainable_parameters: 64,
    total_steps: 10,
    versions: { extension: '0.1.0', node: '20.0.0', runtime: 'libtensorflow', device: 'CPU' },
    git_commit: null,
    result: {
      steps: 0,
      last_loss: null,
      last_validation_loss: null,
      best_validation_loss: null,
      best_step: null,
      adapter: null,
    },
    error: null,
    ...values,
  };
}
