import { throwIfCancelled } from '../../common/cancellation';
import { pathExists } from '../../common/fileStatus';
import { tiedWeight } from '../../formats/architecture/modules';
import { openBase } from '../../formats/openBase';

/**
 * The largest difference between the numbers of two models; null if the base does not exist or has
 * other shapes.
 */
export async function largestDifference(
  basePath: string,
  modelPath: string,
  {
    signal,
    onProgress,
  }: { readonly signal: AbortSignal; readonly onProgress: (fraction: number) => void },
): Promise<number | null> {
  if (!(await pathExists(basePath))) {
    return null;
  }
  const base = await openBase(basePath);
  const model = await openBase(modelPath);
  try {
    const tied = tiedWeight(base.spec)?.name;
    const names = [...base.weights.tensors.keys()].filter(
      (name) => model.weights.tensors.has(name) && name !== tied,
    );
    let largest = 0;
    for (const [n, name] of names.entries()) {
      throwIfCancelled(signal);
      const a = await base.weights.readF32(name);
      const b = await model.weights.readF32(name);
      if (a.length !== b.length) {
        return null;
      }
      for (let i = 0; i < a.length; i++) {
        largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
      }
      onProgress((n + 1) / names.length);
    }
    return largest;
  } finally {
    await Promise.all([base.close(), model.close()]);
  }
}
