import { expect, test } from 'vitest';
import { DASHBOARD_STRINGS } from '../../../src/shared/pages/dashboard/strings';
import type { RunRecord, StepPlan } from '../../../src/shared/run';
import { fill } from '../../../src/shared/values';
import { runFacts } from '../../../webview/dashboard/model/runFacts';
import { Formatter } from '../../../webview/shared/format';
import { runRecord } from '../../support/runs';

const page = {
  t: (key: keyof typeof DASHBOARD_STRINGS, ...values: readonly (string | number)[]) =>
    fill(DASHBOARD_STRINGS[key], values),
  format: new Formatter('en'),
};
const keptText = (
  step_plan: StepPlan | null | undefined,
  training: Partial<RunRecord['recipe']['training']> = {},
) => {
  const { recipe } = runRecord();
  const own = { recipe: { ...recipe, training: { ...recipe.training, ...training } } };
  const run = runRecord({ ...own, ...(step_plan !== undefined && { step_plan }) });
  return new Map(runFacts(page, run)).get('Weights in memory');
};

test('says what the weights are kept in, and what auto chose', () => {
  const bf16 = { base_dtype: 'bfloat16', recomputed_layers: 0 } as const;
  expect(keptText(bf16)).toBe('bfloat16 (chosen by auto)');
  expect(keptText(bf16, { base_dtype: 'bfloat16' })).toBe('bfloat16');
  expect(keptText({ ...bf16, quantized: true, recomputed_layers: 1 })).toBe(
    'quantized as in the file, products in bfloat16 (chosen by auto); 1 layer is recomputed in the backward pass',
  );
  const nf4 = { ...bf16, recomputed_layers: 3, quantize: 'nf4' } as const;
  expect(keptText({ ...nf4, quantized: true })).toBe(
    'quantized to nf4 while loading, products in bfloat16; 3 layers are recomputed in the backward pass',
  );
  expect(keptText(nf4)).toMatch(/^bfloat16, with the values of nf4; 3 layers/);
  const f32 = { base_dtype: 'float32', recomputed_layers: 0 } as const;
  expect(keptText(f32, { method: 'full' })).toBe('float32');
});

test('says nothing before the weights are planned, or of a run that does not tell', () => {
  expect(keptText(null)).toBeUndefined();
  expect(keptText(undefined)).toBeUndefined();
});
