import { describe, expect, it } from 'vitest';
import { isWithoutBf16, processorName, saidOfBf16 } from '../../../src/runtime/processor';

const said = (flags: string, architecture = 'x64') =>
  saidOfBf16(
    () => `processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 ${flags} vaes\n`,
    architecture,
  );

describe('products of bf16, before a runtime is installed', () => {
  it('are fast or possible by the flags', () => {
    expect(said('avx512f avx512_bf16')).toBe('fast');
    expect(said('amx_bf16 amx_tile')).toBe('fast');
    expect(said('avx2 avx512f avx512bw avx512_vnni')).toBe('slow');
    expect(said('avx2 fma')).toBe('none');
    expect(said('asimd', 'arm64')).toBe('slow');
  });

  it('are not assumed to be fast without flags', () => {
    const hidden = () => {
      throw new Error('hidden');
    };
    expect(saidOfBf16(hidden, 'x64')).toBe('slow');
  });

  it('are found out again when the instructions are limited', () => {
    expect(processorName({ ONEDNN_MAX_CPU_ISA: 'AVX2' })).not.toBe(processorName({}));
    expect(isWithoutBf16({ ONEDNN_MAX_CPU_ISA: 'avx2' })).toBe(true);
    expect(isWithoutBf16({ ONEDNN_MAX_CPU_ISA: 'AVX512_CORE' })).toBe(false);
  });
});
