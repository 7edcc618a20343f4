import { describe, expect, it } from 'vitest';
import { initialFactors } from '../../../src/lora/init';
import { newAdapter, PLAIN_LORA } from '../../../src/lora/newAdapter';
import type { TargetableModule } from '../../../src/lora/adapter';

const linear = (name: string, in_features = 64, out_features = 32): TargetableModule => ({
  path: name,
  kind: 'linear',
  in_features,
  out_features,
  is_output: false,
});

describe('a new adapter', () => {
  it('is initialized as in PEFT: A uniform within ±1/√in, B zero', () => {
    const { A, B, scaling } = initialFactors(
      linear('a', 400, 10),
      { ...PLAIN_LORA, r: 16, lora_alpha: 32 },
      'default',
      1,
    );
    expect(scaling).toBe(2);
    expect(B.every((x) => x === 0)).toBe(true);
    const bound = 1 / Math.sqrt(400);
    expect(A.every((x) => Math.abs(x) <= bound)).toBe(true);
    const mean = A.reduce((a, b) => a + b, 0) / A.length;
    const variance = A.reduce((a, b) => a + b * b, 0) / A.length;
    expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * A.length));
    expect(Math.abs(variance / ((bound * bound) / 3) - 1)).toBeLessThan(0.06);
  });

  it('has A zero and B normal for an embedding', () => {
    const { A, B } = initialFactors(
      { path: 'e', kind: 'embedding', in_features: 50, out_features: 1000, is_output: false },
      { ...PLAIN_LORA, lora_alpha: 8, use_rslora: true },
      'default',
      1,
    );
    expect(A.every((x) => x === 0)).toBe(true);
    expect(B.every(Number.isFinite)).toBe(true);
    expect(Math.abs(B.reduce((a, b) => a + b, 0) / B.length)).toBeLessThan(0.05);
    expect(Math.abs(B.reduce((a, b) => a + b * b, 0) / B.length - 1)).toBeLessThan(0.08);
    expect(B.some((x) => Math.abs(x) > 2.5)).toBe(true);
  });

  it('depends on the seed and the path of each module, not on other modules or their order', () => {
    const choices = { ...PLAIN_LORA, r: 4, lora_alpha: 8 };
    const of = (names: string[], seed: number) =>
      new Map(
        newAdapter(
          names.map((name) => linear(name)),
          choices,
          'base',
          { seed },
        ).modules.map((m) => [m.path, m.A]),
      );
    const [ab, b, other] = [of(['a', 'b'], 1), of(['b'], 1), of(['b'], 2)];
    expect(b.get('b')).toEqual(ab.get('b'));
    expect(other.get('b')).not.toEqual(b.get('b'));
    expect(ab.get('a')).not.toEqual(ab.get('b'));
  });

  it('on all linear layers is saved with the list of their paths', () => {
    const { config } = newAdapter(
      [linear('x.a'), linear('x.b')],
      { ...PLAIN_LORA, r: 4, lora_alpha: 8, lora_dropout: 0.1, use_rslora: true },
      'owner/base',
      { seed: 1 },
    );
    expect(config).toMatchObject({
      target_modules: ['x.a', 'x.b'],
      base_model_name_or_path: 'owner/base',
      lora_dropout: 0.1,
      use_rslora: true,
    });
  });

  it('keeps names of target modules as they are, and trains nothing else', () => {
    const names = { ...PLAIN_LORA, target_modules: ['a'] };
    const { config, trained, modules } = newAdapter([linear('x.a')], names, 'b', { seed: 1 });
    expect(config.target_modules).toEqual(['a']);
    expect(trained).toEqual([]);
    const { A, B } = initialFactors(linear('x.a'), names, 'default', 1);
    expect([modules[0]!.A, modules[0]!.B]).toEqual([A, B]);
    const gaussian = newAdapter([linear('x.a')], names, 'b', { seed: 1, init: 'gaussian' });
    expect(gaussian.modules[0]!.A).not.toEqual(A);
    const embedding = { ...linear('e', 5, 3), kind: 'embedding' } as const;
    const own = initialFactors(embedding, { ...names, r: 2 }, 'default', 1);
    expect([own.A.length, own.B.length]).toEqual([10, 6]);
  });
});
