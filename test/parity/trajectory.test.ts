import path from 'node:path';
import { expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { LabelledInput } from '../../src/models/types';
import { adapterGap, fixtures, loadFixture, rawOps, readJson } from '../support/models';

interface Trajectory {
  readonly optimizer: { readonly weight_decay: number };
  readonly max_grad_norm: number;
  readonly records: readonly { readonly loss: number; readonly grad_norm: number; readonly lr: number }[];
}

/** The batches of a trajectory: every tensor is [steps, batch, length]. */
function readBatches(file: string): Promise<LabelledInput[]> {
  return withSafetensors(file, async (source) => {
    const [steps, batch, length] = source.tensors.get('input_ids')!.shape as [number, number, number];
    const [input_ids, attention_mask, labels] = await Promise.all(['input_ids', 'attention_mask', 'labels'].map((name) => source.readInts(name)));
    const at = (x: Int32Array | undefined, i: number) => x!.subarray(i * batch * length, (i + 1) * batch * length);
    return Array.from({ length: steps }, (_, i) => ({ batch, length, input_ids: at(input_ids, i), attention_mask: at(attention_mask, i), labels: at(labels, i) }));
  });
}

it('trains as torch.optim.AdamW does over 20 steps, and ends with the same adapter', async () => {
  const trajectory = readJson<Trajectory>('llama/train/trajectory.json');
  const batches = await readBatches(path.join(fixtures, 'llama/train/batches.safetensors'));
  const model = await loadFixture(await rawOps(), 'llama/base', 'llama/train/start');
  expect(batches).toHaveLength(20);
  for (const [i, { loss, grad_norm, lr }] of trajectory.records.entries()) {
    const { loss_sum, labelled } = await model.accumulate(batches[i]!, i);
    const step = await model.step(labelled, { learning_rate: lr, weight_decay: trajectory.optimizer.weight_decay, max_grad_norm: trajectory.max_grad_norm });
    expect(Math.abs(loss_sum / labelled - loss), `loss of step ${i + 1}`).toBeLessThanOrEqual(1e-4);
    expect(Math.abs(step.grad_norm - grad_norm), `grad_norm of step ${i + 1}`).toBeLessThanOrEqual(1e-3 * grad_norm);
  }
  const { adapter } = await readPeftAdapter(path.join(fixtures, 'llama/train/final'));
  expect(adapterGap(await model.adapter(), adapter)).toBeLessThanOrEqual(1e-4);
  model.dispose();
});
