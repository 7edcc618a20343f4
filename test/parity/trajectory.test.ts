import path from 'node:path';
import { expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { ReadSpecOptions } from '../../src/formats/architecture/readSpec';
import type { LabelledInput } from '../../src/models/model';
import {
  adapterGap,
  fixtures,
  inputOf,
  loadFixture,
  tensorFlowOps,
  readJson,
} from '../support/models';

interface Trajectory {
  readonly optimizer: { readonly weight_decay: number };
  readonly max_grad_norm: number;
  readonly records: readonly {
    readonly loss: number;
    readonly grad_norm: number;
    readonly lr: number;
  }[];
}

/** The batches of a trajectory: every tensor is [steps, batch, …]. */
function readBatches(file: string): Promise<LabelledInput[]> {
  return withSafetensors(file, async (source) => {
    const [steps] = source.tensors.get('labels')!.shape as [number];
    const part = <T extends Int32Array | Float32Array>(all: T, i: number) =>
      all.subarray(i * (all.length / steps), (i + 1) * (all.length / steps)) as T;
    const labels = await source.readInts('labels');
    if (source.tensors.has('pixel_values')) {
      const pixels = await source.readF32('pixel_values');
      return Array.from({ length: steps }, (_, i) => ({
        ...inputOf({ labels: [...part(labels, i)] }),
        pixel_values: part(pixels, i),
      }));
    }
    const [, rows, length] = source.tensors.get('input_ids')!.shape as [number, number, number];
    const [input_ids, attention_mask] = [
      await source.readInts('input_ids'),
      await source.readInts('attention_mask'),
    ];
    return Array.from({ length: steps }, (_, i) => ({
      batch: rows,
      length,
      input_ids: part(input_ids, i),
      attention_mask: part(attention_mask, i),
      labels: part(labels, i),
    }));
  });
}

async function expectTrajectory(
  folder: string,
  base: string,
  options: ReadSpecOptions = {},
): Promise<void> {
  const { records, optimizer, max_grad_norm } = readJson(folder, 'trajectory.json') as Trajectory;
  const batches = await readBatches(path.join(fixtures, folder, 'batches.safetensors'));
  const model = await loadFixture(
    await tensorFlowOps(),
    `${base}/base`,
    `${folder}/start`,
    options,
  );
  expect(batches).toHaveLength(20);
  for (const [i, { loss, grad_norm, lr }] of records.entries()) {
    const batch = batches[i]!;
    // labels of embeddings would be scores of the pairs
    const labels = options.task === 'embedding' ? new Int32Array(0) : batch.labels;
    const { loss_sum, labelled } = await model.accumulate({ ...batch, labels }, i);
    const step = await model.step(labelled, {
      learning_rate: lr,
      weight_decay: optimizer.weight_decay,
      max_grad_norm,
    });
    expect(Math.abs(loss_sum / labelled - loss), `loss of step ${i + 1}`).toBeLessThanOrEqual(1e-4);
    expect(Math.abs(step.grad_norm - grad_norm), `grad_norm of step ${i + 1}`).toBeLessThanOrEqual(
      1e-3 * grad_norm,
    );
  }
  const { adapter } = await readPeftAdapter(path.join(fixtures, folder, 'final'));
  expect(adapterGap(await model.adapter(), adapter)).toBeLessThanOrEqual(1e-4);
  model.dispose();
}

it.each(['llama', 'gpt2', 'vit'])(
  '%s matches torch.optim.AdamW over 20 steps and in the final adapter',
  (family) => expectTrajectory(`${family}/train`, family),
);

it.each([
  ['dora', 'llama', 'causal_lm'],
  ['tokens', 'llama', 'causal_lm'],
  ['seq-cls', 'bert', 'seq_cls'],
  ['token-cls', 'bert', 'token_cls'],
  ['embedding', 'bert', 'embedding'],
] as const)('%s on %s does so, too', (name, base, task) =>
  expectTrajectory(`trajectories/${name}`, base, { task }),
);
