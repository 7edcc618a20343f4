import path from 'node:path';
import { expect, it } from 'vitest';
import { modelInputs } from '../../../../src/engine/commands/modelInputs';
import { fixtures, withBase } from '../../../support/models';

const MASK = [1, 1, 1, 0, 1, 1]; // the second row begins with padding

const inputsOf = (family: string, mask: readonly number[]) =>
  withBase(path.join(fixtures, family, 'base'), (base) =>
    Promise.resolve().then(() =>
      modelInputs(
        {
          file: 'in.json',
          input_ids: { batch: 2, length: 3, data: Int32Array.of(4, 5, 6, 0, 5, 6) },
          attention_mask: { batch: 2, length: 3, data: Int32Array.from(mask) },
          token_type_ids: null,
          labels: null,
          pixel_values: null,
        },
        base.spec,
      ),
    ),
  );

it("refuses rows that begin with padding where DeBERTa's classifier reads the first token", async () => {
  await expect(inputsOf('deberta-v2', MASK)).rejects.toThrow(
    'Row 1 of attention_mask begins with padding',
  );
  await expect(inputsOf('deberta-v2', [1, 1, 1, 1, 1, 0])).resolves.toMatchObject({ batch: 2 });
});

it('takes them for the families whose padded tokens transformers computes alike', async () => {
  for (const family of ['bert', 'modernbert', 'albert', 'electra'])
    await expect(inputsOf(family, MASK)).resolves.toMatchObject({ batch: 2 });
});
