import { readFileSync } from 'node:fs';
import { arch, cpus } from 'node:os';

/** The x86 extensions that multiply bf16: AVX512_BF16 and AMX. */
const MULTIPLIES_BF16 = /\b(?:avx512_bf16|amx_bf16)\b/;

/** What the runtime found out on this machine. */
let found: boolean | undefined;

/** What this machine's processor is called. */
export const processorName = (): string => cpus()[0]?.model.trim() || arch();

/** Keeps for this process what a runtime found out. Gives it back. */
export function rememberBf16(isFast: boolean): boolean {
  found = isFast;
  return isFast;
}

/**
 * Whether libtensorflow multiplies bf16 faster than f32 on this processor: what a runtime has found
 * out, and before one is installed what Linux says of an x86 processor.
 */
export const multipliesBf16 = (): boolean =>
  found ?? saysBf16(() => readFileSync('/proc/cpuinfo', 'utf8'));

/** Whether a list of the processor's flags has bf16; false when there is none. */
export function saysBf16(readFlags: () => string): boolean {
  try {
    return MULTIPLIES_BF16.test(readFlags());
  } catch {
    return false;
  }
}
