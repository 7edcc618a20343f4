import { beforeAll, expect, it } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import {
  caseInput,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  type SingleCase,
} from '../support/models';

/** What transformers' routers choose. [mixtures][batch · length][top_k] */
const CHOICES = readJson('expert_choices.json') as Readonly<Record<string, readonly number[][][]>>;

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

it.each(Object.keys(CHOICES))(
  'of %s are those of transformers, with and without recomputed layers',
  async (name) => {
    const expected = readJson(name, 'expected.json') as SingleCase;
    const input = caseInput(name, expected, await readFloats(name, 'expected.safetensors'));
    const { labels, attention_mask, length } = input;
    // the last layer computes the rows before labels, and a few others
    const isBeforeLabel = (row: number) => (row + 1) % length > 0 && labels[row + 1]! !== -100;
    const countsOf = (layer: number, isWanted: (row: number) => boolean) => {
      const counts = new Float64Array(4);
      for (const expert of CHOICES[name]![layer]!.filter((_, row) => isWanted(row)).flat())
        counts[expert]!++;
      return counts;
    };
    const isToken = (row: number) => attention_mask[row] === 1;
    const last = CHOICES[name]!.length - 1;
    for (const recomputed_layers of [0, 99]) {
      const family = name.split('/')[0]!;
      const model = await loadFixture(ops, `${family}/base`, `${name}/adapter`, {
        recomputed_layers,
      });
      const { expert_counts } = await model.accumulate(input, 0);
      model.dispose();
      expect(expert_counts).toHaveLength(last + 1);
      for (let layer = 0; layer < last; layer++)
        expect(expert_counts![layer]).toEqual(countsOf(layer, isToken));
      const [least, most] = [countsOf(last, isBeforeLabel), countsOf(last, isToken)];
      expert_counts![last]!.forEach((count, expert) => {
        expect(count).toBeGreaterThanOrEqual(least[expert]!);
        expect(count).toBeLessThanOrEqual(most[expert]!);
      });
    }
  },
);
