import { exec, type Env } from './exec';

/** What NVIDIA's driver reports of the first GPU. Memory in bytes. */
export interface Gpu {
  readonly name: string;
  readonly memory_total: number;
  readonly memory_used: number;
}

/**
 * The first NVIDIA GPU; null when there is none, or no driver.
 *
 * @throws LoraError('cancelled') when the signal is aborted.
 */
export async function findGpu(env: Env = process.env, signal?: AbortSignal): Promise<Gpu | null> {
  const { exit, stdout } = await exec(
    'nvidia-smi',
    ['--query-gpu=memory.total,memory.used,name', '--format=csv,noheader,nounits'],
    { env, timeout: 10_000, ...(signal && { signal }) },
  );
  return exit === 0 ? parseGpu(stdout) : null;
}

/** Parses nvidia-smi's line, in MiB: `81559, 4, NVIDIA H100 80GB HBM3`. Null when it has no GPU. */
export function parseGpu(line: string): Gpu | null {
  const [, total, used, name] = /^\s*(\d+), (\d+), (.+)$/m.exec(line) ?? [];
  if (name === undefined) return null;
  return {
    name: name.trim(),
    memory_total: Number(total) * 2 ** 20,
    memory_used: Number(used) * 2 ** 20,
  };
}
