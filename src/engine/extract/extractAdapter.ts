import path from 'node:path';
import { linearsOf, modulesOf } from '../../formats/architecture/modules';
import { openBase } from '../../formats/openBase';
import { peftAdapter } from '../../formats/importedAdapter';
import type { BaseModel } from '../../formats/baseModel';
import { extractLayer, type ExtractedLayer } from '../../lora/extract';
import type { ResizeTarget } from '../../lora/resize';
import { matchTargets } from '../../lora/targets';
import type { TargetableModule } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { throwIfCancelled } from '../../common/cancellation';
import { writeMadeAdapter } from '../combine/writeAdapter';
import { checkOutput } from '../merge/place';

export interface ExtractOptions {
  readonly base: string;
  readonly tuned: string;
  readonly output: string;
  readonly target: ResizeTarget;
  readonly target_modules: string | readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

export interface Extracted {
  readonly modules: readonly {
    readonly path: string;
    readonly r: number;
    readonly error: number;
  }[];
  /** ‖dW - BA‖ / ‖dW‖ over all layers that are adapted. */
  readonly error: number;
  /**
   * Tensors that differ and are not carried, by the norm of their difference; null where the shapes
   * differ.
   */
  readonly left_out: readonly { readonly name: string; readonly norm: number | null }[];
}

/**
 * An adapter that brings a base as close to a tuned model as its rank allows. Errors: LoraError.
 */
export async function extractAdapter(options: ExtractOptions): Promise<Extracted> {
  const { base: basePath, tuned: tunedPath, output } = options;
  await checkOutput(output, [basePath, tunedPath]);
  const base = await openBase(basePath);
  try {
    const tuned = await openBase(tunedPath, { task: base.spec.task });
    try {
      return await extract(base, tuned, options);
    } finally {
      await tuned.close();
    }
  } finally {
    await base.close();
  }
}

async function extract(
  base: BaseModel,
  tuned: BaseModel,
  { output, target, target_modules, signal, onProgress }: ExtractOptions,
): Promise<Extracted> {
  refuseOther(base, tuned);
  const chosen = targetsOf(base, target_modules);
  const layers: ExtractedLayer[] = [];
  for (const [n, module] of chosen.entries()) {
    throwIfCancelled(signal);
    const layer = extractLayer(
      {
        ...module,
        transposed: isTransposed(base, module.path),
        data: await difference(base, tuned, `${module.path}.weight`),
      },
      target,
    );
    if (layer) layers.push(layer);
    onProgress((n + 1) / chosen.length);
    await new Promise(setImmediate); // lets a signal through between two layers
  }
  const left_out = await othersThatDiffer(
    base,
    tuned,
    new Set(chosen.map((m) => `${m.path}.weight`)),
    signal,
  );
  if (layers.length === 0) {
    throw new LoraError(
      'base',
      left_out.length === 0
        ? 'The two models are the same: there is nothing to extract.'
        : `None of the layers that an adapter could change differs; what differs is ${listed(left_out)}.`,
      {
        place: { file: tuned.path },
        fix: 'Name the model as it was before tuning with --base, and after it with --tuned.',
      },
    );
  }
  await writeMadeAdapter(
    output,
    peftAdapter(
      layers.map((layer) => layer.factors),
      base.path,
    ),
    [base.path, tuned.path],
    `extracted from ${path.basename(tuned.path)}`,
    { task: base.spec.task, labels: null },
  );
  const [lost, whole] = layers.reduce<readonly [number, number]>(
    ([l, w], layer) => [l + layer.lost ** 2, w + layer.norm ** 2] as const,
    [0, 0],
  );
  return {
    modules: layers.map(({ factors, lost: own, norm }) => ({
      path: factors.path,
      r: factors.r,
      error: own / norm,
    })),
    error: Math.sqrt(lost / whole),
    left_out,
  };
}

function refuseOther(base: BaseModel, tuned: BaseModel): void {
  if (base.spec.family !== tuned.spec.family)
    throw new LoraError(
      'base',
      `The models are of two families, ${base.spec.family} and ${tuned.spec.family}.`,
      {
        place: { file: tuned.path },
        fix: 'Name the model that the tuned one was made of with --base.',
      },
    );
  const odd = modulesOf(base.spec).find(
    (m) => m.kind === 'linear' && !m.is_output && !sameShape(base, tuned, `${m.path}.weight`),
  );
  if (odd)
    throw new LoraError('base', 'The layer has another shape in the tuned model.', {
      place: { file: tuned.path, tensor: `${odd.path}.weight` },
      fix: 'Name the model that the tuned one was made of with --base.',
    });
}

function sameShape(base: BaseModel, tuned: BaseModel, name: string): boolean {
  const [a, b] = [base.weights.tensors.get(name), tuned.weights.tensors.get(name)];
  return a !== undefined && b !== undefined && a.shape.join() === b.shape.join();
}

function targetsOf(
  base: BaseModel,
  target_modules: string | readonly string[],
): TargetableModule[] {
  const { matched, unmatched } = matchTargets(modulesOf(base.spec), { target_modules });
  const [odd] = unmatched;
  if (odd)
    throw new LoraError(
      'usage',
      `No module is called ${odd.name}${odd.nearest === undefined ? '' : `; did you mean ${odd.nearest}?`}`,
      { place: { file: base.path } },
    );
  const linear = matched.filter(
    (m) => m.kind === 'linear' && base.weights.tensors.has(`${m.path}.weight`),
  );
  if (linear.length === 0)
    throw new LoraError('usage', 'target_modules names no linear layer with a weight of its own.', {
      place: { file: base.path },
    });
  return linear;
}

const isTransposed = (base: BaseModel, own: string) =>
  base.spec.layers.flatMap(linearsOf).find((linear) => linear.path === own)?.transposed ?? false;

async function difference(base: BaseModel, tuned: BaseModel, name: string): Promise<Float32Array> {
  const data = await tuned.weights.readF32(name);
  const before = await base.weights.readF32(name);
  for (let i = 0; i < data.length; i++) data[i]! -= before[i]!;
  const odd = data.findIndex((x) => !Number.isFinite(x));
  if (odd >= 0)
    throw new LoraError('base', `Element ${odd} is not a finite number in one of the models.`, {
      place: { file: tuned.path, tensor: name },
    });
  return data;
}

/** Largest first. */
async function othersThatDiffer(
  base: BaseModel,
  tuned: BaseModel,
  carried: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Extracted['left_out']> {
  const found: { name: string; norm: number | null }[] = [];
  for (const name of new Set([...base.weights.tensors.keys(), ...tuned.weights.tensors.keys()])) {
    throwIfCancelled(signal);
    if (carried.has(name)) continue;
    if (!sameShape(base, tuned, name)) found.push({ name, norm: null });
    else {
      const norm = Math.sqrt(
        (await difference(base, tuned, name)).reduce((sum, x) => sum + x * x, 0),
      );
      if (norm > 0) found.push({ name, norm });
    }
  }
  return found.sort((a, b) => (b.norm ?? Infinity) - (a.norm ?? Infinity));
}

/** The first few, for a message. */
export function listed(tensors: Extracted['left_out']): string {
  const names = tensors
    .slice(0, 5)
    .map(
      ({ name, norm }) =>
        `${name} (${norm === null ? 'another shape' : `by ${norm.toPrecision(3)}`})`,
    );
  return `${names.join(', ')}${tensors.length > names.length ? ` and ${tensors.length - names.length} more` : ''}`;
}
