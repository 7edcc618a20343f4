import { expect, it } from 'vitest';
import { describeStepPlan } from '../../../../src/engine/training/memoryCheck';
import type { StepReason } from '../../../../src/shared/stepMemory';
import type { StepPlan } from '../../../../src/shared/run';

const parts = { weights: 1e8, adapter: 0, gradients: 0, optimizer: 0, activations: 0, working: 0 };
const text = (plan: StepPlan, why: StepReason) =>
  describeStepPlan({ plan, why, estimate: { ...parts, total: 1e8 } }, 30);

it('says how the base is kept, and why', () => {
  const blocks: StepPlan = { base_dtype: 'bfloat16', quantized: true, recomputed_layers: 0 };
  expect(text(blocks, 'asked')).toMatch(
    /^The base is kept in the blocks of its file; products are computed in bfloat16\. A step needs/,
  );
  expect(text({ ...blocks, recomputed_layers: 2 }, 'memory')).toMatch(
    /file, because bfloat16 would not fit into memory; products .* bfloat16; 2 of 30 layers are/,
  );
  expect(text({ base_dtype: 'bfloat16', recomputed_layers: 0 }, 'memory')).toMatch(
    /^The base is kept in bfloat16, because float32 would not fit into memory\. A step needs/,
  );
});
