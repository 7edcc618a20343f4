import { describe, expect, it } from 'vitest';
import { stackAdapter } from '../../../../src/engine/merge/stackAdapter';
import { EMPTY_ADAPTER } from '../../../../src/engine/model/backend';
import type { LoraFactors } from '../../../../src/lora/adapter';
import { mergeInto } from '../../../../src/lora/merge';

const AT = 'dinov2.encoder.layer.0.mlp';
const DINOV2 = { family: 'dinov2', layers: [] };
const STORED = [
  { name: `${AT}.weights_in.weight`, shape: [4, 3] },
  { name: `${AT}.weights_in.bias`, shape: [4] },
];

const moduleOf = (name: string, r: number, scaling: number, magnitude = false): LoraFactors => ({
  path: `${AT}.${name}`,
  kind: 'linear',
  r,
  in_features: 3,
  out_features: 2,
  scaling,
  A: Float32Array.from({ length: 3 * r }, (_, i) => i + 1),
  B: Float32Array.from({ length: 2 * r }, (_, i) => i - 2),
  magnitude: magnitude ? Float32Array.of(3, 4) : null,
});

function mergedRows(modules: readonly LoraFactors[]): number[] {
  const stacked = stackAdapter({ ...EMPTY_ADAPTER, modules }, STORED, DINOV2);
  expect(stacked.modules).toHaveLength(1);
  const weight = Float32Array.from({ length: 12 }, (_, i) => i);
  mergeInto(weight, stacked.modules[0]!, false);
  return [...weight];
}

/** The same modules on the rows of their own. */
function separateRows(gate: LoraFactors | null, up: LoraFactors | null): number[] {
  return [gate, up].flatMap((own, i) => {
    const weight = Float32Array.from({ length: 6 }, (_, k) => 6 * i + k);
    if (own) mergeInto(weight, own, false);
    return [...weight];
  });
}

describe('an adapter for modules that are one tensor of the files', () => {
  it('changes the rows of each by its own update', () => {
    const gate = moduleOf('gate_proj', 1, 0.5);
    const up = moduleOf('up_proj', 2, 2);
    expect(mergedRows([up, gate])).toEqual(separateRows(gate, up));
    expect(mergedRows([gate])).toEqual(separateRows(gate, null));
    expect(mergedRows([up])).toEqual(separateRows(null, up));
  });

  it('keeps the magnitudes of DoRA, and is refused where one part has none', () => {
    const gate = moduleOf('gate_proj', 1, 1, true);
    const up = moduleOf('up_proj', 1, 1, true);
    expect(mergedRows([gate, up])).toEqual(separateRows(gate, up));
    expect(() => mergedRows([gate])).toThrow('mlp.weights_in: it cannot be merged into the others');
  });

  it('stacks trained tensors, and is refused where one is missing', () => {
    const bias = (name: string, ...data: number[]) => ({
      name: `${AT}.${name}.bias`,
      shape: [2],
      data: Float32Array.from(data),
    });
    const of = (...trained: ReturnType<typeof bias>[]) =>
      stackAdapter({ ...EMPTY_ADAPTER, trained }, STORED, DINOV2).trained;
    expect(of(bias('up_proj', 3, 4), bias('gate_proj', 1, 2))).toEqual([
      { name: `${AT}.weights_in.bias`, shape: [4], data: Float32Array.of(1, 2, 3, 4) },
    ]);
    expect(() => of(bias('up_proj', 3, 4))).toThrow('not the other part');
  });

  it('stays as it is for files that have each module', () => {
    const adapter = { ...EMPTY_ADAPTER, modules: [moduleOf('gate_proj', 1, 1)] };
    const own = [{ name: `${AT}.gate_proj.weight`, shape: [2, 3] }];
    expect(stackAdapter(adapter, own, DINOV2)).toEqual(adapter);
  });
});
