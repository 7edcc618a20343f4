import { describe, expect, it } from 'vitest';
import {
  rankChoices,
  targetPrices,
  type RankQuestion,
} from '../../../../src/host/setup/pricedChoices';
import { costOf, factsOf, fitsText } from '../../../../src/host/setup/costs';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { known } from '../../../support/known';
import { estimateMemory } from '../../../../src/lora/memory';

const read = async (file: string) => factsOf(await readBaseHeaders(file));
const base = await read('test/fixtures/llama/base');
const size = known(base.size);
const PLENTY = 64 * 2 ** 30;
const question = (own: Partial<RankQuestion> = {}): RankQuestion => ({
  target: 'all-linear',
  available: PLENTY,
  recommended: 8,
  ...own,
});

/** A processor that knows f32 only, and memory for all of it. */
const MACHINE = {
  hasBf16: true,
  hasKernels: true,
  multipliesBf16: false,
  available: 2 ** 40,
};

describe('what a choice costs', () => {
  it('counts r·(in + out) over all matched layers and takes the memory of a step', () => {
    const cost = costOf(base, 4, ['q_proj', 'v_proj'], MACHINE);
    const expected = base.modules
      .filter((m) => /[qv]_proj$/.test(m.path))
      .reduce((sum, m) => sum + 4 * (m.in_features + m.out_features), 0);
    expect(cost).toMatchObject({ trainable: expected, unmatched: [], tooHigh: 0 });
    const adapted = { modules: cost.matched, ranks: 4 };
    const batch = { rows: 4, length: 512 };
    expect(cost.memory).toBe(estimateMemory(size, adapted, batch).total);
    expect(costOf(base, 4, ['q_proj', 'v_proj'], { ...MACHINE, multipliesBf16: true }).memory).toBe(
      estimateMemory(size, adapted, batch, {
        base_dtype: 'bfloat16',
        recomputed_layers: 0,
      }).total,
    );
  });

  it('says of each type whether it fits', () => {
    const text = (available: number) =>
      fitsText(costOf(base, 4, 'all-linear', { ...MACHINE, available }).types);
    expect(text(2 ** 40)).toBe('float32: fits · bfloat16: fits · int8: fits · nf4: fits');
    expect(text(1)).toBe(
      'float32: does not fit · bfloat16: does not fit · int8: does not fit · nf4: does not fit',
    );
  });

  it('says what auto chooses of a quantized base of 8 billion numbers, as memory becomes less', () => {
    const stored = { quantized_bytes: 4.7e9, dense_numbers: 0, parameters: 8e9 };
    const { quantizable, ...dense } = size;
    expect(quantizable).toBeDefined();
    const large = { ...base, size: { ...dense, ...stored } };
    const at = (available: number) => {
      const machine = { ...MACHINE, multipliesBf16: true, available };
      const cost = costOf(large, 4, 'all-linear', machine);
      return { text: fitsText(cost.types), memory: cost.memory ?? NaN, types: cost.types };
    };
    const plenty = at(64e9);
    expect(plenty.text).toBe('float32: fits · bfloat16: fits · quantized: fits');
    const needs = (type: string, of: 'bytes' | 'recomputed_bytes') =>
      plenty.types.find(({ base_dtype }) => base_dtype === type)![of];

    const small = at(12e9);
    expect(small.text).toBe('float32: does not fit · bfloat16: does not fit · quantized: fits');
    expect(small.memory).toBe(needs('quantized', 'bytes'));

    const tight = at((needs('quantized', 'bytes') + needs('quantized', 'recomputed_bytes')) / 2);
    expect(tight.text).toBe(
      'float32: does not fit · bfloat16: does not fit · quantized: fits with gradient checkpointing',
    );
    expect(tight.memory).toBeLessThan(needs('quantized', 'bytes'));
    expect(tight.memory).toBeGreaterThan(4.7e9);

    expect(at(4e9).text).toBe(
      'float32: does not fit · bfloat16: does not fit · quantized: does not fit',
    );
  });

  it('refuses a base model that cannot be trained, with the reason', async () => {
    await expect(read('test/fixtures')).rejects.toMatchObject({ area: 'base' });
  });

  it('depends on the task of the base model', async () => {
    expect((await read('test/fixtures/bert/base')).tasks).toEqual([
      'seq_cls',
      'reranker',
      'token_cls',
      'embedding',
    ]);
    const vit = await read('test/fixtures/vit/base');
    expect(vit.tasks).toEqual(['image_cls']);
    const besides = known(vit.besides ?? null);
    expect(costOf(vit, 4, ['query'], MACHINE).memory).toBe(
      estimateMemory(
        known(vit.size),
        { modules: costOf(vit, 4, ['query']).matched, ranks: 4, besides },
        { rows: 8, length: 197 },
      ).total,
    );
    expect(base.tasks).toContain('causal_lm');
  });
});

describe('the choices of rank', () => {
  it('show 2·d·r of d² and the memory needed and available', () => {
    const d = size.hidden_size;
    const [, , four] = rankChoices(base, question(), '');
    expect(four).toMatchObject({ label: 'r = 4', value: 4 });
    expect(four!.description).toContain(
      `2·d·r = ${2 * d * 4} of d² = ${(d * d).toLocaleString('en')}`,
    );
    expect(four!.detail).toMatch(/memory [\d.]+ [KMG]iB of 64 GiB$/);
  });

  it('recommend the rank for as many examples as there are', () => {
    const noted = (recommended: number) =>
      rankChoices(base, question({ recommended }), '')
        .filter(({ description }) => description.startsWith('recommended'))
        .map(({ value }) => value);
    expect([4, 8].map(noted)).toEqual([[4], [8]]);
  });

  it('put a typed rank first and refuse invalid ones', () => {
    expect(rankChoices(base, question(), '12').map((c) => c.value)).toEqual([
      12, 1, 2, 4, 8, 16, 32,
    ]);
    expect(rankChoices(base, question(), '16').map((c) => c.value)).toEqual([16, 1, 2, 4, 8, 32]);
    for (const typed of ['0', '-5', '2.7', 'x'])
      expect(rankChoices(base, question(), typed)[0]).toMatchObject({
        label: `r = ${typed}`,
        value: null,
        detail: 'r must be a whole number above 0.',
      });
  });

  it('warn of a rank larger than a layer and of too little memory', () => {
    expect(rankChoices(base, question(), '4096')[0]!.detail).toMatch(
      /^r = 4096 is larger than \d+ of the layers/,
    );
    expect(rankChoices(base, question({ available: 2 ** 20 }), '')[0]!.detail).toMatch(
      /^This needs more memory than is available\. .* of 1 MiB$/,
    );
  });
});

describe('the choices of target modules', () => {
  it('offer the usual ones, each with its cost', () => {
    expect(targetPrices(base, 8, PLENTY, '').map((c) => c.value)).toEqual([
      'all-linear',
      ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
      ['q_proj', 'v_proj'],
    ]);
  });

  it('take typed names and expressions that match', () => {
    expect(targetPrices(base, 8, PLENTY, 'up_proj down_proj')[0]).toMatchObject({
      label: 'up_proj, down_proj',
      value: ['up_proj', 'down_proj'],
    });
    expect(targetPrices(base, 8, PLENTY, '.*layers\\.0\\..*q_proj')[0]).toMatchObject({
      description: expect.stringMatching(/^1 module · /) as string,
      value: '.*layers\\.0\\..*q_proj',
    });
  });

  it('refuse unknown names, with a suggestion, and invalid expressions', () => {
    expect(targetPrices(base, 8, PLENTY, 'q_porj')[0]).toMatchObject({
      value: null,
      detailIcon: 'warning',
      detail: 'No module is named q_porj. Did you mean q_proj?',
    });
    expect(targetPrices(base, 8, PLENTY, '(q_proj')[0]).toMatchObject({
      value: null,
      detail: expect.stringContaining('not a supported regular expression') as string,
    });
    expect(targetPrices(base, 8, PLENTY, '.*nothing')[0]).toMatchObject({
      value: null,
      detailIcon: 'warning',
      detail: 'No module matches.',
    });
  });
});
