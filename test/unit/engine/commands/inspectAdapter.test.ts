import { describe, expect, it } from 'vitest';
import { adapterReport } from '../../../../src/engine/commands/inspectAdapter';
import type { Adapter, LoraFactors } from '../../../../src/lora/adapter';
import { PLAIN_LORA } from '../../../../src/lora/newAdapter';

/** An update with these squared singular values. */
function factors(...squares: number[]): LoraFactors {
  const n = squares.length;
  const diagonal = (values: readonly number[]) =>
    Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? values[i / (n + 1)]! : 0));
  return {
    path: 'model.layers.0.self_attn.q_proj',
    kind: 'linear',
    r: n,
    in_features: n,
    out_features: n,
    scaling: 1,
    A: diagonal(squares.map(() => 1)),
    B: diagonal(squares.map(Math.sqrt)),
    magnitude: null,
  };
}

const reportOf = (m: LoraFactors, change: Partial<Adapter> = {}, config: object = {}) =>
  adapterReport('peft', {
    adapter: {
      config: { ...PLAIN_LORA, base_model_name_or_path: null, raw: {}, ...config },
      modules: [m],
      trained: [],
      ...change,
    },
    warnings: [],
  });

describe('what is said of an adapter', () => {
  it('names the ranks that keep 90% and 99% of the update, no more and no less', () => {
    const { facts, lines } = reportOf(factors(89.5, 8.7, 1.3, 0.5));
    expect(facts).toMatchObject({ rank_90: 2, rank_99: 3, zero: false });
    expect(lines).toContain(
      'rank 2 in every module would keep 90% of the update, rank 3 would keep 99%',
    );
    expect(reportOf(factors(90.5, 8.7, 0.5, 0.3)).facts).toMatchObject({ rank_90: 1, rank_99: 2 });
    expect(reportOf(factors(98.5, 1, 0.5)).facts).toMatchObject({ rank_90: 1, rank_99: 2 });
  });

  it('says that the update is zero instead of ranks', () => {
    const m = factors(4, 1);
    const { facts, lines } = reportOf({ ...m, B: m.B.map(() => 0) });
    expect(facts).toMatchObject({ zero: true });
    expect(lines).toContain('The update is zero: A, B or the scale is zero in every module.');
    expect(lines.join()).not.toMatch(/would keep|trained in full|DoRA/);
  });

  it('names DoRA, rsLoRA and what is trained in full', () => {
    const trained = [{ name: 'model.norm.weight', shape: [1], data: Float32Array.of(1) }];
    const config = { use_dora: true, use_rslora: true, modules_to_save: ['norm'] };
    const { facts, lines } = reportOf(factors(1), { trained }, config);
    expect(lines[0]).toMatch(/, rsLoRA, DoRA, 1 module \(q_proj\), 2 parameters$/);
    expect(lines).toContain('trained in full: model.norm.weight (modules_to_save norm)');
    expect(facts).toMatchObject({ use_dora: true, trained: ['model.norm.weight'] });
  });
});
