import { isOfExperts, partsOf, type StackedSpec } from '../../formats/architecture/stackedNames';
import type { Adapter, LoraFactors, TrainedTensor } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';

/** A tensor of a checkpoint that has the rows of several modules. */
interface StackedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * The adapter with one module, or one trained tensor, in place of those whose rows are one tensor
 * of the base's files.
 *
 * @param tensors Those of the files, by their modules' names.
 * @throws LoraError('adapter') when a part that an adapter replaces needs the others.
 */
export function stackAdapter(
  adapter: Adapter,
  tensors: readonly StackedTensor[],
  spec: StackedSpec,
): Adapter {
  return tensors.reduce((stacked, tensor) => {
    const parts = isOfExperts(tensor.name, spec) ? null : partsOf(tensor.name, spec);
    return parts ? stackOne(stacked, tensor, parts) : stacked;
  }, adapter);
}

function stackOne(adapter: Adapter, tensor: StackedTensor, parts: readonly string[]): Adapter {
  const modules = parts.map((part) => adapter.modules.find((m) => `${m.path}.weight` === part));
  const trained = parts.map((part) => adapter.trained.find(({ name }) => name === part));
  return {
    ...adapter,
    modules: stackModules(adapter.modules, modules, tensor),
    trained: stackTrained(adapter.trained, trained, { tensor, parts }),
  };
}

/** Updates below each other: their A are stacked, and each B is a block of its own. */
function stackModules(
  all: readonly LoraFactors[],
  parts: readonly (LoraFactors | undefined)[],
  { name, shape }: StackedTensor,
): readonly LoraFactors[] {
  const own = parts.filter((part) => part !== undefined);
  const [first] = own;
  if (!first) return all;
  const r = own.reduce((sum, part) => sum + part.r, 0);
  const [out_features = 0] = shape;
  const rows = out_features / parts.length;
  const A = new Float32Array(r * first.in_features);
  const B = new Float32Array(out_features * r);
  let rank = 0;
  for (const [i, part] of parts.entries()) {
    if (!part) continue;
    A.set(part.A, rank * first.in_features);
    const factor = part.scaling / first.scaling;
    for (let row = 0; row < rows; row++)
      for (let k = 0; k < part.r; k++)
        B[(i * rows + row) * r + rank + k] = part.B[row * part.r + k]! * factor;
    rank += part.r;
  }
  const path = name.replace(/\.weight$/, '');
  const magnitude = stackedMagnitude(parts, out_features, path);
  const stacked = { ...first, path, r, out_features, A, B, magnitude };
  return [...all.filter((m) => !own.includes(m)), stacked];
}

/** @throws LoraError('adapter') where only some of the parts have one. */
function stackedMagnitude(
  parts: readonly (LoraFactors | undefined)[],
  out_features: number,
  path: string,
): Float32Array | null {
  const own = parts.flatMap((part) => part?.magnitude ?? []);
  if (own.length === 0) return null;
  if (own.length < parts.length)
    throw new LoraError(
      'adapter',
      `DoRA is on some of the modules that are one tensor of the base's files, ${path}: it cannot be merged into the others.`,
      { fix: 'Train DoRA on all of them, or on none.' },
    );
  const magnitude = new Float32Array(out_features);
  own.forEach((part, i) => magnitude.set(part, i * part.length));
  return magnitude;
}

/** @throws LoraError('adapter') where only some of the parts are trained. */
function stackTrained(
  all: readonly TrainedTensor[],
  found: readonly (TrainedTensor | undefined)[],
  { tensor, parts }: { readonly tensor: StackedTensor; readonly parts: readonly string[] },
): readonly TrainedTensor[] {
  const own = found.filter((part) => part !== undefined);
  if (own.length === 0) return all;
  if (own.length < parts.length)
    throw new LoraError(
      'adapter',
      `The adapter trains ${own[0]!.name}, but not the other part of ${tensor.name}, which is one tensor in the base's files.`,
      { fix: `Train ${parts.join(' and ')}, or neither.` },
    );
  const { name, shape } = tensor;
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  let at = 0;
  for (const part of own) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return [...all.filter((t) => !own.includes(t)), { name, shape, data }];
}
