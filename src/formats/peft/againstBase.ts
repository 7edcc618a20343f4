import { matchTargets } from '../../lora/targets';
import type {
  Adapter,
  AdapterConfig,
  LoraFactors,
  TargetableModule,
  TrainedTensor,
} from '../../lora/adapter';
import type { TiedPaths } from '../../lora/tying';
import { LoraError, type Problem } from '../../shared/errors';
import { modulesOf, namedTensors, tensorsOf, tiedWeight } from '../architecture/modules';
import { canonicalPath } from '../architecture/names';
import type { BaseModel } from '../baseModel';

/** What of a base an adapter is checked against. */
export interface AdapterBase {
  readonly modules: readonly TargetableModule[];
  /** The base's name and path. */
  readonly names: readonly string[];
  /** The base's path of a module, given that of an older adapter. */
  readonly rename?: (path: string) => string;
  /** Modules of the task's head, which PEFT saves in any case. */
  readonly heads?: readonly string[];
  /** Tensors of the base that are the adapter's. */
  readonly replaced?: ReadonlySet<string>;
  /** The embedding and the output layer that share a weight; null: none do. */
  readonly tied?: TiedPaths | null;
  /** Shapes of the base's tensors. */
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
}

/** What of an open base an adapter is checked against. */
export function adapterBaseOf({
  spec,
  name,
  hub,
  path,
  replaced,
}: Pick<BaseModel, 'spec' | 'name' | 'hub' | 'path' | 'replaced'>): AdapterBase {
  const { head } = tensorsOf(spec);
  const tied = tiedWeight(spec);
  return {
    modules: modulesOf(spec),
    names: [name, path, ...(hub === null ? [] : [hub])],
    replaced: tied && replaced.has(tied.storedAs) ? new Set([...replaced, tied.name]) : replaced,
    tied: tied && { embedding: pathOf(tied.storedAs), output: pathOf(tied.name) },
    rename: (own) => canonicalPath(own, spec),
    shapes: new Map(namedTensors(spec).map((t) => [t.name, t.shape])),
    heads: [...new Set(head.map((t) => t.name.replace(/\..*$/, '')))].filter((own) =>
      ['classifier', 'score'].includes(own),
    ),
  };
}

/** The path of a weight's module. */
const pathOf = (weight: string) => weight.slice(0, -'.weight'.length);

/** The paths of an adapter's files, for messages. */
export interface AdapterFiles {
  readonly config: string;
  readonly weights: string;
}

const FIX = 'Use the base that the adapter was trained on.';

/**
 * Checks that an adapter fits its base; returns warnings.
 *
 * @throws LoraError('adapter') when a module or tensor is not in the base or has another shape.
 */
export function checkAgainstBase(
  { modules, config, trained }: Adapter,
  base: AdapterBase,
  files: AdapterFiles,
): Problem[] {
  const known = new Map(base.modules.map((m) => [m.path, m]));
  for (const module of modules) checkModule(module, known.get(module.path), files.weights);
  for (const tensor of trained) checkTrained(tensor, base, files.weights);
  return [
    ...absentTargets(modules, config, base, files.config),
    ...otherName(config, base, files.config),
  ];
}

function checkModule(own: LoraFactors, module: TargetableModule | undefined, file: string): void {
  if (!module)
    throw new LoraError(
      'adapter',
      `The adapter changes ${own.path}, which the base does not have.`,
      { place: { file }, fix: FIX },
    );
  if (own.kind !== module.kind)
    throw new LoraError(
      'adapter',
      `The adapter treats ${own.path} as "${own.kind}", but it is "${module.kind}" in the base.`,
      { place: { file }, fix: FIX },
    );
  if (module.in_features !== own.in_features || module.out_features !== own.out_features) {
    throw new LoraError(
      'adapter',
      `The adapter does not fit this base: ${own.path} is ${own.out_features} x ${own.in_features} in the adapter, ${module.out_features} x ${module.in_features} in the base.`,
      {
        place: { file },
        fix: FIX,
      },
    );
  }
}

function checkTrained({ name, shape }: TrainedTensor, { shapes }: AdapterBase, file: string): void {
  const own = shapes?.get(name);
  if (!shapes || own?.join() === shape.join()) return;
  const message = own
    ? `The adapter's ${name} has the shape [${shape.join(', ')}], the base's [${own.join(', ')}].`
    : `The adapter replaces ${name}, which the base does not have.`;
  throw new LoraError('adapter', message, { place: { file, tensor: name }, fix: FIX });
}

function absentTargets(
  modules: readonly LoraFactors[],
  config: AdapterConfig,
  base: AdapterBase,
  file: string,
): Problem[] {
  const present = new Set(modules.map((m) => m.path));
  const absent = matchTargets(base.modules, config)
    .matched.filter((m) => !present.has(m.path))
    .map((m) => m.path);
  if (absent.length === 0) return [];
  return [
    warning(
      `target_modules includes ${namesInShort(absent)}, but the weights file has no tensors for it`,
      { file, key: 'target_modules' },
    ),
  ];
}

function otherName(
  { base_model_name_or_path: name }: AdapterConfig,
  base: AdapterBase,
  file: string,
): Problem[] {
  if (name === null || base.names.some((own) => sameModel(own, name))) return [];
  return [
    warning(
      `The adapter was made for ${name}, but this base is ${base.names[0] ?? 'another'}; the shapes match`,
      { file, key: 'base_model_name_or_path' },
    ),
  ];
}

/** The first three names, and how many more there are. */
export const namesInShort = (names: readonly string[]) =>
  names.length > 3
    ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
    : names.join(', ');

/**
 * Compared by the last part of the name: HuggingFaceTB/SmolLM2-135M and SmolLM2-135M.Q4_1.gguf are
 * the same model.
 */
function sameModel(a: string, b: string): boolean {
  const [x, y] = [a, b].map((name) =>
    (name.split(/[\\/]/).filter(Boolean).at(-1) ?? '').toLowerCase().replace(/[^a-z0-9]/g, ''),
  );
  return Boolean(x && y) && (x!.startsWith(y!) || y!.startsWith(x!));
}

/** A warning; `message` without its period. */
export function warning(message: string, place: Problem['place']): Problem {
  return { severity: 'warning', message: `${message}.`, ...(place && { place }) };
}
