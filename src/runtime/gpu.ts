import { exec, type Env } from './exec';

/** What NVIDIA's driver reports of the first GPU. Memory in bytes. */
export interface Gpu {
  readonly name: string;
  readonly memory_total: number;
  readonly memory_used: number;
}

/**
 * The GPU that TensorFlow uses, as CUDA_VISIBLE_DEVICES names it: the first of several, whose
 * tensors it would otherwise copy between them. Null where that variable hides all of them.
 */
export function chosenGpu({ CUDA_VISIBLE_DEVICES: visible = '0' }: Env): string | null {
  const first = visible.split(',', 1)[0]!.trim();
  return /^(?:\d+|(?:GPU|MIG)-[\w/-]+)$/.test(first) ? first : null;
}

/**
 * The NVIDIA GPU that is used; null when there is none, or no driver. nvidia-smi knows parts of a
 * GPU (MIG) by no name: of these it is asked for the first GPU.
 *
 * @throws LoraError('cancelled') when the signal is aborted.
 */
export async function findGpu(env: Env = process.env, signal?: AbortSignal): Promise<Gpu | null> {
  const chosen = chosenGpu(env);
  if (chosen === null) return null;
  const only = chosen.startsWith('MIG') ? [] : [`--id=${chosen}`];
  const { exit, stdout } = await exec(
    'nvidia-smi',
    ['--query-gpu=memory.total,memory.used,name', '--format=csv,noheader,nounits', ...only],
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
