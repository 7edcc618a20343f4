import { describe, expect, it } from 'vitest';
import { BLOCK_TOKENS, type LogitBlocks } from '../../../../src/models/sampling/logitBlocks';
import { sampleOfBlocks } from '../../../../src/models/sampling/sampleOfBlocks';
import { sampleToken } from '../../../../src/models/sampling/sampleToken';
import type { SamplingSettings } from '../../../../src/models/sampling/settings';
import { createRandom } from '../../../../src/shared/random';

/** What the kernel tells of logits. */
function blocksOf(logits: Float32Array, temperature: number): LogitBlocks {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const parts = Array.from({ length: Math.ceil(logits.length / BLOCK_TOKENS) }, (_, i) =>
    logits.subarray(i * BLOCK_TOKENS, (i + 1) * BLOCK_TOKENS),
  );
  const weigh = (z: number) => (temperature === 0 ? 0 : Math.exp((z - most) / temperature));
  return {
    largest: Float32Array.from(parts, (own) => own.reduce((a, b) => Math.max(a, b))),
    sums: Float64Array.from(parts, (own) => own.reduce((sum, z) => sum + weigh(z), 0)),
  };
}

/** As a model's: most tokens are unlikely, some are equal. */
function logitsOf(seed: number, size = 3000): Float32Array {
  const random = createRandom(seed, 'logits');
  return Float32Array.from({ length: size }, () => {
    const z = 12 * Math.log(random() + 1e-3) + 3 * random();
    return random() < 0.3 ? Math.round(z) : z;
  });
}

const cases: readonly Partial<SamplingSettings>[] = [
  { temperature: 0 },
  {},
  { temperature: 0.6 },
  { temperature: 3 },
  { top_k: 1 },
  { top_k: 20 },
  { top_k: 2900 },
  { top_k: 5000 },
  { top_p: 0.1 },
  { top_p: 0.95 },
  { top_p: 0.9999, temperature: 2 },
  { top_p: 0 },
  { min_p: 0.05 },
  { min_p: 1 },
  { temperature: 0.8, top_k: 40, top_p: 0.9, min_p: 0.02 },
];
const penalties: readonly Partial<SamplingSettings>[] = [
  {},
  { repetition_penalty: 1.3 },
  { repetition_penalty: 0.8 },
  { frequency_penalty: 0.7, presence_penalty: 0.4 },
  { frequency_penalty: -0.5 },
  { repetition_penalty: 50, frequency_penalty: 2 },
];

const drawnLogits = Array.from({ length: 12 }, (_, seed) => logitsOf(seed, 3000 - (seed % 2)));
const likeliestOf = drawnLogits.map((logits) =>
  [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 30),
);

describe.each(cases)('drawing with %j', (own) => {
  it.each(penalties)('from the blocks that count chooses the same tokens: %j', (penalty) => {
    for (const [seed, logits] of drawnLogits.entries()) {
      const settings = { temperature: 1, seed, ...own, ...penalty };
      const likeliest = likeliestOf[seed]!;
      const written = [...likeliest, 5, 5, 5, 2000, 2001].slice(seed % 7);
      const text = { prompt: [1, 2, ...likeliest.slice(0, 2)], written };
      const blocks = blocksOf(logits, settings.temperature);
      const want = sampleToken(logits, settings, text);
      expect(sampleToken(logits, settings, text, blocks), `seed ${seed}`).toBe(want);
    }
  });
});

describe('blocks', () => {
  const logits = logitsOf(1);
  const text = { prompt: [], written: [7] };
  const draw = (settings: Partial<SamplingSettings>, share = 0.5) => {
    const own = { temperature: 1, seed: 0, ...settings };
    return sampleOfBlocks(logits, blocksOf(logits, own.temperature), {
      settings: own,
      text,
      share: () => share,
    });
  };

  it('are enough, unless more tokens are left than there are blocks, or one is raised', () => {
    for (const settings of [{}, { top_k: 40 }, { top_p: 0.9 }, { presence_penalty: 1 }])
      expect(draw(settings)).not.toBeNull();
    expect(draw({ top_k: 1000 })).toBeNull();
    expect(draw({ presence_penalty: -100 })).toBeNull();
  });

  it('are left to those who look at all logits where these are no numbers', () => {
    const faulty = Float32Array.of(1, NaN, 2);
    const blocks = { largest: Float32Array.of(NaN), sums: Float64Array.of(NaN) };
    const settings = { temperature: 1, seed: 0 };
    expect(sampleOfBlocks(faulty, blocks, { settings, text, share: () => 0.5 })).toBeNull();
  });

  it('give a token for each share, the last one included', () => {
    const last = draw({}, 1 - 2 ** -32)!;
    expect(last).toBeGreaterThan(2900);
    expect(draw({}, 0)).toBe(0);
  });

  it('give the most likely token where the sums are less than the share of them', () => {
    const blocks = blocksOf(logits, 1);
    const more = { ...blocks, sums: blocks.sums.map((sum) => sum * (1 + 1e-9)) };
    const settings = { temperature: 1, seed: 0 };
    const id = sampleOfBlocks(logits, more, { settings, text, share: () => 1 - 2 ** -32 });
    expect(Number.isInteger(id)).toBe(true);
  });
});
