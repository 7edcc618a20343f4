import { readFileSync } from 'node:fs';

/** The x86 extensions that multiply bf16: AVX512_BF16 and AMX. */
const MULTIPLIES_BF16 = /\b(?:avx512_bf16|amx_bf16)\b/;

/**
 * Whether libtensorflow multiplies bf16 faster than f32 on this processor. False when that cannot
 * be determined.
 */
export function multipliesBf16(
  read: (file: string) => string = (file) => readFileSync(file, 'utf8'),
): boolean {
  if (process.platform !== 'linux') return false;
  try {
    return MULTIPLIES_BF16.test(read('/proc/cpuinfo'));
  } catch {
    return false;
  }
}
