import path from 'node:path';
import { expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { BatchScheduler } from '../../src/engine/serve/batchScheduler';
import { openBase } from '../../src/formats/openBase';
import { generateTokens } from '../../src/models/generate';
import { loadModel } from '../../src/models/loadModel';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { PromptTooLong } from '../../src/models/promptTooLong';
import { fixtures, tfBinding } from '../support/models';

it('a prompt of more tokens than rotary positions were made for is refused', async () => {
  const base = await openBase(path.join(fixtures, 'llama', 'base'));
  const short = Object.create(base, {
    spec: { value: { ...base.spec, context: 600 } },
  }) as typeof base;
  const ops = new TensorFlowOps(await tfBinding());
  const model = await loadModel(short, EMPTY_ADAPTER, { ops, base_dtype: 'float32' });
  const input_ids = Array.from({ length: 601 }, (_, i) => i % 100);
  const sampling = { temperature: 0, seed: 0 };
  const options = { ...sampling, max_new_tokens: 4, stop_ids: [] };
  const yieldPoint = () => Promise.resolve();
  const generated = (ids: readonly number[]) =>
    generateTokens(model.decoder(), ids, { ...options, yieldPoint });
  await expect(generated(input_ids)).rejects.toThrow(PromptTooLong);
  expect(await generated(input_ids.slice(2))).toHaveLength(2);

  const scheduler = new BatchScheduler(
    { mixed: () => Promise.resolve({ model }) },
    { sequences: 1, waiting: 0, kept_bytes: 0 },
  );
  const answer = scheduler.generate({
    ...{ mix: [], input_ids, stop_ids: [], max_new_tokens: 4, sampling, constraint: null },
    ...{ top_logprobs: null, onToken: () => true, signal: new AbortController().signal },
  });
  await expect(answer).rejects.toThrow('601 tokens, the model has positions for 600');
  await scheduler.close();
  await base.close();
});
