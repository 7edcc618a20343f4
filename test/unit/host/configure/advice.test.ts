import { describe, expect, it } from 'vitest';
import { adviceFor, type AdviceFacts } from '../../../../src/host/configure/advice';
import { figuresOf, type CostChoice } from '../../../../src/host/configure/figures';
import { factsOf } from '../../../../src/host/setup/costs';
import { hostMachine } from '../../../../src/host/setup/machineMemory';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { withRank } from '../../../../src/shared/pages/configure/withRank';
import { known } from '../../../support/known';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const base = factsOf(await readBaseHeaders('test/fixtures/llama/base'));
const linear = base.modules.filter((m) => m.kind === 'linear' && !m.is_output);
const recipe = parseRecipe(
  '{ "base": "b", "dataset": "d", "training": { "max_length": 64 } }',
  'lora.json',
);
const plain = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false };

function facts({
  settings = plain,
  chosen = linear,
  there = 8e9,
  ...rest
}: Partial<AdviceFacts> & { there?: number; chosen?: typeof linear } = {}): AdviceFacts {
  return {
    method: 'lora',
    continued: null,
    base,
    settings,
    chosen,
    figures: figuresOf(base, recipe, { settings, chosen }, hostMachine(there)),
    rows: 5_000,
    used: null,
    rates: [],
    ...rest,
  };
}
/** Of all linear layers, with a memory that is estimated. */
function estimated(choice: Partial<CostChoice>) {
  const figures = figuresOf(base, recipe, { settings: plain, chosen: linear, ...choice });
  return { ...figures, memory: known(figures.memory), full: known(figures.full) };
}
const texts = (own: AdviceFacts) =>
  adviceFor(own)
    .map(({ text }) => text)
    .join('\n');

describe('advice', () => {
  it('is empty when nothing is wrong with the choice', () => {
    expect(adviceFor(facts())).toEqual([]);
  });

  it('explains that rank and targets do not apply to full fine-tuning', () => {
    expect(texts(facts({ method: 'full', chosen: [] }))).toMatch(
      /^The recipe uses full fine-tuning/,
    );
  });

  it('explains that a continued adapter keeps its own rank and targets', () => {
    const own = facts({ continued: '/a', settings: { ...plain, r: 64 }, rows: 100, there: 1e6 });
    expect(adviceFor(own).map(({ button }) => button)).toEqual([null, null]);
    expect(texts(own)).toMatch(
      /^The recipe continues the adapter \/a .*\nA training step needs .* only 977 KiB are free/,
    );
  });

  it('warns of no modules, a rank larger than a layer and too little memory', () => {
    expect(texts(facts({ chosen: [] }))).toMatch(/Select at least one/);
    const high = facts({ settings: { ...plain, r: 64 } });
    expect(adviceFor(high)[0]?.button?.act).toEqual({ kind: 'change', change: { r: 16 } });
    expect(texts(high)).toMatch(/rsLoRA/);
    expect(texts(facts({ there: 1e6 }))).toMatch(/A training step needs .* only 977 KiB are free/);
  });

  it('depends on the number of examples before a run, and on the used rank after it', () => {
    expect(adviceFor(facts({ rows: 100 }))[0]?.button?.act).toEqual({
      kind: 'change',
      change: { r: 4 },
    });
    const used = { run: 'first', adapter: '/a', paid: 8, kept: 3 };
    expect(adviceFor(facts({ rows: 100, used })).map(({ button }) => button?.act)).toEqual([
      { kind: 'resize', adapter: '/a', rank: 3 },
      { kind: 'change', change: { r: 3 } },
    ]);
    expect(adviceFor(facts({ used: { ...used, kept: 8 } }))).toEqual([]);
  });

  it('counts the linear layers that are left out', () => {
    expect(texts(facts({ chosen: linear.filter((m) => m.path.endsWith('q_proj')) }))).toMatch(
      /12 linear layers are not adapted/,
    );
  });
});

describe('the figures of a choice', () => {
  it("count r·(in + out) a module, with rank_pattern and DoRA's lengths", () => {
    const sides = (own: typeof linear) =>
      own.reduce((sum, m) => sum + m.in_features + m.out_features, 0);
    expect(figuresOf(base, recipe, { settings: plain, chosen: linear }).trainable).toBe(
      8 * sides(linear),
    );
    const dora = figuresOf(base, recipe, {
      settings: { ...plain, use_dora: true },
      chosen: linear,
    });
    expect(dora.trainable).toBe(
      8 * sides(linear) + linear.reduce((sum, m) => sum + m.out_features, 0),
    );
    const pattern = { ...recipe, lora: { ...recipe.lora, rank_pattern: { q_proj: 2 } } };
    const [q, others] = [
      linear.filter((m) => m.path.endsWith('q_proj')),
      linear.filter((m) => !m.path.endsWith('q_proj')),
    ];
    expect(figuresOf(base, pattern, { settings: plain, chosen: linear })).toMatchObject({
      trainable: 2 * sides(q) + 8 * sides(others),
      otherRanks: q.length,
    });
  });

  it('include full fine-tuning, with gradients and moments of every weight', () => {
    const { memory, full, parameters, trainable } = estimated({});
    expect([full.gradients, full.optimizer]).toEqual([4 * parameters, 8 * parameters]);
    expect([memory.gradients, memory.optimizer]).toEqual([4 * trainable, 8 * trainable]);
    for (const { total, ...parts } of [memory, full])
      expect(Object.values(parts).reduce((a, b) => a + b, 0)).toBe(total);
  });

  it('include a teacher, where it needs more memory than a step', () => {
    const alone = estimated({}).memory.total;
    const { memory: small, full } = estimated({ teacher: base });
    expect(small.total).toBeGreaterThan(alone);
    expect(full.total).toBeGreaterThan(estimated({}).full.total);
    expect(small.adapter).toBeGreaterThan(0);
    const large = { ...base, size: { ...known(base.size), parameters: 3e9 } };
    const { memory } = estimated({ teacher: large });
    expect(memory.total).toBeGreaterThan(2 * 3e9);
    expect(memory.adapter).toBe(0);
  });

  it('keep the scaling factor at another rank', () => {
    expect(withRank(plain, 4)).toMatchObject({ r: 4, lora_alpha: 8 });
    expect(withRank({ ...plain, use_rslora: true }, 2)).toMatchObject({ r: 2, lora_alpha: 8 });
  });

  it('says what is known of the learning rate, also for full fine-tuning', () => {
    const own = { runs: 5, rates: 3, rate: 1e-3, r: 16, metric: 'loss', score: 0.4 } as const;
    expect(
      texts(
        facts({
          rates: [
            { kind: 'low rate', rate: 1e-5, suggested: 1e-4 },
            { kind: 'own runs', ...own, isOtherData: true },
            { kind: 'attention only' },
          ],
        }),
      ),
    ).toBe(
      'learning_rate 1e-5 suits full fine-tuning. The best rates for LoRA are about ten times as high: try 1e-4.\n' +
        'Your best run on this base had learning_rate 1e-3 at r = 16, out of 3 rates tried (on other data).',
    );
    const rates = [{ kind: 'high rate', rate: 2e-4, suggested: 2e-5 }] as const;
    expect(texts(facts({ method: 'full', rates }))).toContain(
      'Full fine-tuning needs about a tenth',
    );
  });
});
