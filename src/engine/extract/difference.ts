import { throwIfCancelled } from '../../common/cancellation';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';

/** A tensor that differs between the models and is not part of the adapter. */
export interface LeftOut {
  readonly name: string;
  /** Norm of the difference; null if the shapes differ. */
  readonly norm: number | null;
}

/** Whether both models have the tensor, with the same shape. */
export function haveSameShape(base: BaseModel, tuned: BaseModel, name: string): boolean {
  const [a, b] = [base.weights.tensors.get(name), tuned.weights.tensors.get(name)];
  return a !== undefined && b !== undefined && a.shape.join() === b.shape.join();
}

/**
 * The tuned tensor minus the base's, in f32.
 * @throws LoraError('base') when an element is not finite.
 */
export async function weightDifference(
  base: BaseModel,
  tuned: BaseModel,
  name: string,
): Promise<Float32Array> {
  const difference = await tuned.weights.readF32(name);
  const before = await base.weights.readF32(name);
  for (let i = 0; i < difference.length; i++) {
    difference[i]! -= before[i]!;
  }
  const invalid = difference.findIndex((x) => !Number.isFinite(x));
  if (invalid >= 0) {
    const after = (await tuned.weights.readF32(name))[invalid]!;
    throw notFinite(invalid, { base: before[invalid]!, tuned: after }, { base, tuned, name });
  }
  return difference;
}

interface Compared {
  readonly base: BaseModel;
  readonly tuned: BaseModel;
  readonly name: string;
}

/** The error for an element of which the difference is not finite. */
function notFinite(
  element: number,
  values: { readonly base: number; readonly tuned: number },
  { base, tuned, name }: Compared,
): LoraError {
  const at = ({ path }: BaseModel) => ({ place: { file: path, tensor: name }, fix: FIX });
  if (!Number.isFinite(values.base)) {
    return new LoraError('base', `Element ${element} is ${values.base}.`, at(base));
  }
  return new LoraError(
    'base',
    Number.isFinite(values.tuned)
      ? `Element ${element} differs by more than float32 can hold: ${values.base} before, ${values.tuned} after fine-tuning.`
      : `Element ${element} is ${values.tuned}.`,
    at(tuned),
  );
}

const FIX = 'Check that both models generate text, and download the model again if it does not.';

/** The tensors other than the targeted ones that differ, largest difference first. */
export async function otherDifferences(
  base: BaseModel,
  tuned: BaseModel,
  targeted: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<LeftOut[]> {
  const names = new Set([...base.weights.tensors.keys(), ...tuned.weights.tensors.keys()]);
  const found: LeftOut[] = [];
  for (const name of names) {
    throwIfCancelled(signal);
    if (targeted.has(name)) {
      continue;
    }
    if (!haveSameShape(base, tuned, name)) {
      found.push({ name, norm: null });
      continue;
    }
    const difference = await weightDifference(base, tuned, name);
    const norm = Math.sqrt(difference.reduce((sum, x) => sum + x * x, 0));
    if (norm > 0) {
      found.push({ name, norm });
    }
  }
  return found.sort((a, b) => (b.norm ?? Infinity) - (a.norm ?? Infinity));
}
