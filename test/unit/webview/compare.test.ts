import { describe, expect, it } from 'vitest';
import type { ComparisonData, FactsData } from '../../../src/shared/pages/compare/protocol';
import { gridOf, moduleRows, type ModuleRow } from '../../../webview/compare/model/modules';
import {
  MODULE_QUANTITIES,
  randomShare,
  colourScale,
  shownQuantities,
  type QuantityId,
} from '../../../webview/compare/model/quantities';
import { sortedModules } from '../../../webview/compare/model/table';
import { agreement, adapterRanks } from '../../../webview/compare/model/agreement';

const facts = (norm: number, r = 2): FactsData => ({
  r,
  scaling: 2,
  norm,
  singular_values: [norm],
  effective_rank: norm === 0 ? 0 : r / 2,
  rank_90: 1,
  rank_99: 1,
});
const overlap = { phi: [[1]], whole: 0.5, random: 0.25 };
const inBoth = (path: string, a: number, b: number) => ({
  path,
  a: facts(a),
  b: facts(b, 8),
  cosine: a * b > 0 ? 0.5 : null,
  norm_of_difference: Math.abs(a - b),
  left: overlap,
  right: { ...overlap, random: 0.75 },
});

function rowsOf(parts: Partial<ComparisonData>): ModuleRow[] {
  const nothing = {
    modules: [],
    only_a: [],
    only_b: [],
    trained: [],
    config: [],
    total: { norm_a: 0, norm_b: 0, norm_of_difference: 0, cosine: null },
    equal: false,
    magnitudes: [],
    layers: null,
  };
  return moduleRows({ ...nothing, ...parts });
}
const quantity = (id: QuantityId) => MODULE_QUANTITIES.find((own) => own.id === id)!;
const layer = (n: number, kind: string) => `model.layers.${n}.${kind}`;

describe('comparison rows', () => {
  it('are sorted by layer number, not alphabetically', () => {
    const rows = rowsOf({
      modules: [inBoth(layer(10, 'mlp.up_proj'), 1, 1), inBoth(layer(9, 'mlp.up_proj'), 1, 1)],
      only_a: [{ path: layer(2, 'mlp.up_proj'), facts: facts(1) }],
    });
    expect(rows.map(({ path }) => path)).toEqual([2, 9, 10].map((n) => layer(n, 'mlp.up_proj')));
  });

  it('give the difference relative to the larger update, or null without updates', () => {
    const rows = rowsOf({
      modules: [inBoth(layer(0, 'mlp.up_proj'), 4, 1), inBoth(layer(1, 'mlp.up_proj'), 0, 0)],
      only_b: [
        { path: layer(2, 'mlp.up_proj'), facts: facts(3) },
        { path: layer(3, 'mlp.up_proj'), facts: facts(0) },
      ],
    });
    expect(rows.map(({ difference }) => difference)).toEqual([0.75, null, 1, null]);
    expect(rows[2]).toMatchObject({ a: null, cosine: null, left: null });
  });

  it('include the values relative to the base', () => {
    const rows = rowsOf({
      modules: [inBoth('lm_head', 4, 1)],
      layers: [
        { path: 'lm_head', norm_base: 8, amplification: { a: 2, b: null }, intruders: null },
      ],
    });
    expect(rows[0]).toMatchObject({ norm_base: 8, amplification: { a: 2, b: null } });
    expect(quantity('relative_a').of(rows[0]!)).toBe(0.5);
  });
});

describe('the heat map', () => {
  it('has layers as rows, kinds as columns, and a row for modules outside layers', () => {
    const paths = [
      layer(0, 'self_attn.q_proj'),
      layer(1, 'self_attn.q_proj'),
      layer(1, 'mlp.up_proj'),
      'lm_head',
    ];
    const { columns, rows } = gridOf(rowsOf({ modules: paths.map((path) => inBoth(path, 1, 1)) }));
    expect(columns).toEqual(['q_proj', 'up_proj', 'lm_head']);
    expect(
      rows.map(({ layer: name, cells }) => [name, cells.map((cell) => cell?.path ?? null)]),
    ).toEqual([
      ['0', [paths[0], null, null]],
      ['1', [paths[1], paths[2], null]],
      [null, [null, null, paths[3]]],
    ]);
  });

  it('includes the stack in the name of a layer if there are several', () => {
    const { rows } = gridOf(
      rowsOf({
        modules: ['encoder.layer.0.query', 'decoder.layer.0.query'].map((path) =>
          inBoth(path, 1, 1),
        ),
      }),
    );
    expect(rows.map(({ layer: name }) => name)).toEqual(['decoder.layer 0', 'encoder.layer 0']);
  });

  it('omits quantities that need a base', () => {
    expect(
      shownQuantities(rowsOf({ modules: [inBoth('lm_head', 1, 1)] })).map(({ id }) => id),
    ).not.toContain('relative_a');
  });

  it('scales colours to the largest value, and cosines by sign', () => {
    const rows = rowsOf({ modules: [inBoth(layer(0, 'q'), 4, 1), inBoth(layer(1, 'q'), 1, 1)] });
    const { from, to, level } = colourScale(quantity('norm_a'), rows);
    expect([from, to, level(0), level(1), level(4)]).toEqual([0, 4, 0, 2, 8]);
    const cosine = colourScale(quantity('cosine'), rows);
    expect([-1, -0.5, 0, 1].map(cosine.level)).toEqual([-8, -4, 0, 8]);
    expect(
      colourScale(quantity('norm_a'), rowsOf({ modules: [inBoth('lm_head', 0, 0)] })).level(0),
    ).toBe(0);
  });

  it('gives the random baseline for overlaps only', () => {
    const rows = rowsOf({ modules: [inBoth('lm_head', 1, 1)] });
    expect(['left', 'right', 'cosine'].map((id) => randomShare(id as QuantityId, rows))).toEqual([
      0.25,
      0.75,
      null,
    ]);
  });
});

describe('the comparison table', () => {
  const rows = rowsOf({
    modules: [
      inBoth(layer(0, 'mlp.up_proj'), 1, 0),
      inBoth(layer(1, 'mlp.up_proj'), 3, 3),
      inBoth(layer(1, 'self_attn.q_proj'), 2, 1),
    ],
  });

  it('sorts by number, with missing values last in both directions', () => {
    expect(
      sortedModules(rows, { column: 'norm_a', descending: true }, '').map((row) => row.a?.norm),
    ).toEqual([3, 2, 1]);
    for (const descending of [true, false])
      expect(sortedModules(rows, { column: 'cosine', descending }, '').at(-1)?.cosine).toBeNull();
  });

  it('keeps the rows that match every word, ignoring case', () => {
    expect(
      sortedModules(rows, { column: 'path', descending: false }, '1 UP').map(({ path }) => path),
    ).toEqual([layer(1, 'mlp.up_proj')]);
  });
});

describe('the explanations', () => {
  it('explain a cosine', () => {
    expect([0.99, 0.5, 0, -0.5].map(agreement)).toEqual([
      'words.same',
      'words.partly',
      'words.apart',
      'words.against',
    ]);
  });

  it('compare the highest rank with the mean of the effective ranks', () => {
    const rows = rowsOf({ modules: [inBoth('a', 1, 1), inBoth('b', 1, 0)] });
    expect(adapterRanks(rows, 'b')).toEqual({ highest: 8, effective: 2 });
    expect(adapterRanks([], 'a')).toBeNull();
  });
});
