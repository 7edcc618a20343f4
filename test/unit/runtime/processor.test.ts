import { describe, expect, it } from 'vitest';
import { multipliesBf16 } from '../../../src/runtime/processor';

const flagsHaveBf16 = (flags: string) =>
  multipliesBf16(
    () => `processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 ${flags} vaes\n`,
  );

describe.skipIf(process.platform !== 'linux')('bf16 support of the processor', () => {
  it('is detected from the CPU flags', () => {
    expect(flagsHaveBf16('avx512f avx512_bf16')).toBe(true);
    expect(flagsHaveBf16('amx_bf16 amx_tile')).toBe(true);
    expect(flagsHaveBf16('avx2 avx512f avx512_vnni')).toBe(false);
  });

  it('is not assumed without CPU flags', () => {
    expect(
      multipliesBf16(() => {
        throw new Error('hidden');
      }),
    ).toBe(false);
  });
});
