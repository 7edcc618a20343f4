import { describe, expect, it } from 'vitest';
import { saysBf16 } from '../../../src/runtime/processor';

const flagsHaveBf16 = (flags: string) =>
  saysBf16(() => `processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 ${flags} vaes\n`);

describe('bf16 support of the processor, before a runtime is installed', () => {
  it('is read from the flags', () => {
    expect(flagsHaveBf16('avx512f avx512_bf16')).toBe(true);
    expect(flagsHaveBf16('amx_bf16 amx_tile')).toBe(true);
    expect(flagsHaveBf16('avx2 avx512f avx512_vnni')).toBe(false);
  });

  it('is not assumed without flags', () => {
    expect(
      saysBf16(() => {
        throw new Error('hidden');
      }),
    ).toBe(false);
  });
});
