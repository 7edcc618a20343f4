import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput } from '../../src/models/model';
import { fixtures, gap, largest, readFloats, tensorFlowOps, withBase } from '../support/models';
import type { Floats } from '../support/models';

const PATCH = 4;
let want: Floats;
beforeAll(async () => {
  want = await readFloats('dinov2/sizes.safetensors');
});

function inputOfSide(side: number): LabelledInput {
  const length = (side / PATCH) ** 2 + 1;
  return {
    batch: 2,
    length,
    input_ids: new Int32Array(0),
    labels: Int32Array.of(1, 4),
    attention_mask: new Int32Array(2 * length).fill(1),
    pixel_values: want.get(`${side}.pixels`)!,
  };
}

it.each([12, 28])(
  'DINOv2 interpolates its positions for images of %i pixels, and trains through it',
  async (side) => {
    const ops = await tensorFlowOps();
    const before = ops.live();
    await withBase(path.join(fixtures, 'dinov2/base'), async (base) => {
      const model = await loadModel(base, EMPTY_ADAPTER, { ops, method: 'full' });
      const input = inputOfSide(side);
      const logits = want.get(`${side}.logits`)!;
      expect(gap(await model.logits(input), logits)).toBeLessThan(5e-5 * largest(logits));
      const { loss_sum, labelled } = await model.accumulate(input, 0);
      expect(loss_sum / labelled).toBeCloseTo(want.get(`${side}.loss`)![0]!, 5);
      const gradients = await model.gradients(labelled);
      for (const [key, name] of [
        ['positions', 'dinov2.embeddings.position_embeddings'],
        ['scale', 'dinov2.encoder.layer.0.layer_scale1.lambda1'],
      ] as const) {
        const gradient = want.get(`${side}.${key}`)!;
        expect(gap(gradients.get(name)!.data, gradient), name).toBeLessThan(
          1e-4 * Math.max(1e-2, largest(gradient)),
        );
      }
      model.dispose();
    });
    expect(ops.live()).toBe(before);
  },
);
