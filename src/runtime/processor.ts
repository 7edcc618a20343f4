import { readFileSync } from 'node:fs';
import { arch, cpus } from 'node:os';

/**
 * What products of bf16 are on a processor: faster than those of f32, only smaller, or impossible
 * with libtensorflow.
 */
export type Bf16 = 'fast' | 'slow' | 'none';

/** The x86 extensions that multiply bf16: AVX512_BF16 and AMX. */
const MULTIPLIES_BF16 = /\b(?:avx512_bf16|amx_bf16)\b/;
/** Those without which oneDNN, which multiplies for libtensorflow, has no products of bf16. */
const COMPUTES_BF16 = /\b(?:avx512bw|avx_ne_convert)\b/;

/** What the runtime found out on this machine. */
let found: Bf16 | undefined;

/** What limits oneDNN to older instructions than the processor has. */
const LIMIT = 'ONEDNN_MAX_CPU_ISA';
const WITHOUT_BF16 = new Set(['SSE41', 'AVX', 'AVX2', 'AVX2_VNNI']);

/** Whether it is limited to instructions for which it has no products of bf16. */
export const isWithoutBf16 = (env = process.env): boolean =>
  WITHOUT_BF16.has(env[LIMIT]?.toUpperCase() ?? '');

/** What this machine's processor is called, and how its instructions are limited. */
export function processorName(env = process.env): string {
  const name = cpus()[0]?.model.trim() || arch();
  const limit = env[LIMIT];
  return limit ? `${name} (${LIMIT}=${limit})` : name;
}

/** Keeps for this process what a runtime found out. Gives it back. */
export function rememberBf16(bf16: Bf16): Bf16 {
  found = bf16;
  return bf16;
}

/**
 * What libtensorflow's products of bf16 are on this processor: what a runtime has found out, and
 * before one is installed what Linux says of an x86 processor.
 */
export function bf16OfProcessor(): Bf16 {
  if (isWithoutBf16()) return 'none';
  return found ?? saidOfBf16(() => readFileSync('/proc/cpuinfo', 'utf8'), arch());
}

/** Whether it multiplies bf16 faster than f32. */
export const multipliesBf16 = (): boolean => bf16OfProcessor() === 'fast';

/** What a list of the processor's flags says; without one, slow. */
export function saidOfBf16(readFlags: () => string, architecture: string): Bf16 {
  try {
    const flags = readFlags();
    if (MULTIPLIES_BF16.test(flags)) return 'fast';
    return architecture === 'x64' && !COMPUTES_BF16.test(flags) ? 'none' : 'slow';
  } catch {
    return 'slow';
  }
}
