import { expect, it } from 'vitest';
import { collate } from '../../src/data/examples/batch';
import type { PackedExample, TokensExample } from '../../src/data/examples/example';
import { sideBySide } from '../../src/data/examples/sideBySide';
import type { LabelledInput, NamedTensor } from '../../src/models/model';
import { createRandom } from '../../src/shared/random';
import { NO_LABEL } from '../../src/shared/task';
import { gap, largest, loadFixture, tensorFlowOps } from '../support/models';

const BASE = 'llama/base';
const ADAPTER = 'llama/all-linear/adapter';

/** Rows of these lengths, of which the first tokens have no labels. */
function rowsOf(lengths: readonly number[]): TokensExample[] {
  const random = createRandom(1, 'rows');
  return lengths.map((length, i) => {
    const input_ids = Int32Array.from({ length }, () => Math.floor(random() * 60));
    const labels = input_ids.map((id, at) => (at <= i ? NO_LABEL : id));
    return { kind: 'tokens', line: i + 1, input_ids, labels };
  });
}

it('rows side by side have the loss and the gradients of the padded batch', async () => {
  const ops = await tensorFlowOps();
  const rows = rowsOf([40, 5, 3, 17]);
  const results: { loss: number; gradients: ReadonlyMap<string, NamedTensor> }[] = [];
  for (const examples of [rows, sideBySide(rows) as readonly PackedExample[]]) {
    const model = await loadFixture(ops, BASE, ADAPTER);
    expect(model.joinsRows).toBe(true);
    expect(sideBySide(rows)).toHaveLength(1);
    const input = collate(examples, 0, 64) as LabelledInput;
    const { loss_sum, labelled } = await model.accumulate(input, 1);
    results.push({ loss: loss_sum / labelled, gradients: await model.gradients(labelled) });
    model.dispose();
  }
  const [padded, joined] = results as [(typeof results)[0], (typeof results)[0]];
  expect(Math.abs(joined.loss - padded.loss)).toBeLessThanOrEqual(2e-6 * padded.loss);
  for (const [name, { data }] of padded.gradients)
    expect(gap(joined.gradients.get(name)!.data, data), name).toBeLessThanOrEqual(
      1e-4 * Math.max(1e-2, largest(data)),
    );
});

it('NEFTune, whose noise depends on the length of a row, keeps rows below each other', async () => {
  const model = await loadFixture(await tensorFlowOps(), BASE, ADAPTER, {
    neftune_noise_alpha: 5,
  });
  expect(model.joinsRows).toBe(false);
  model.dispose();
});
