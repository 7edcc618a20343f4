import { targetOf, withWholePaths } from '../../lora/wholePaths';
import { matchTargets } from '../../lora/targets';
import type {
  Adapter,
  AdapterConfig,
  LoraFactors,
  TargetableModule,
  TrainedTensor,
} from '../../lora/adapter';
import type { TokenLayers } from '../../lora/tokenRows';
import type { TiedPaths } from '../../lora/tying';
import { LoraError, type Problem } from '../../shared/errors';
import {
  adaptedModulesOf,
  moduleNames,
  namedTensors,
  tensorsOf,
  tiedWeight,
} from '../architecture/modules';
import { modulePathIn } from '../architecture/modulePath';
import type { BaseModel } from '../baseModel';
import { describeUnmatched, unmatchedEntries, type UnmatchedEntry } from '../../lora/unmatched';
import { countOf } from '../../shared/values';
import { tokenLayersOf, tokenMisfit } from './tokens';

/** The part of a base that an adapter is checked against. */
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
  /** The layers whose rows are tokens; null: none; not given: they are not known. */
  readonly tokens?: TokenLayers | null;
  /** Shapes of the base's tensors. */
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
  /** Paths of all modules, which the adapter's settings may name; not given: they are not known. */
  readonly paths?: readonly string[];
  /** The model has further parts, such as a vision tower, whose modules are not among `modules`. */
  readonly has_other_parts?: boolean;
}

/** The part of an open base that an adapter is checked against. */
export function adapterBaseOf({
  spec,
  name,
  hub,
  path,
  replaced,
  config,
}: Pick<BaseModel, 'spec' | 'name' | 'hub' | 'path' | 'replaced' | 'config'>): AdapterBase {
  const { head } = tensorsOf(spec);
  const tied = tiedWeight(spec);
  return {
    modules: adaptedModulesOf(spec),
    names: [name, path, ...(hub === null ? [] : [hub])],
    replaced: tied && replaced.has(tied.storedAs) ? new Set([...replaced, tied.name]) : replaced,
    tokens: tokenLayersOf(spec),
    tied: tied && { embedding: pathOf(tied.storedAs), output: pathOf(tied.name) },
    rename: (own) => modulePathIn(spec, own),
    shapes: new Map(namedTensors(spec).map((t) => [t.name, t.shape])),
    paths: moduleNames(spec),
    has_other_parts: 'text_config' in config,
    heads: [...new Set(head.map((t) => t.name.replace(/\..*$/, '')))].filter((own) =>
      HEADS.includes(own),
    ),
  };
}

/** PEFT's names of a task's head. */
const HEADS: readonly string[] = ['classifier', 'score'];

/** The path of a weight's module. */
const pathOf = (weight: string) => weight.slice(0, -'.weight'.length);

/** The paths of an adapter's files, for messages. */
export interface AdapterFiles {
  readonly config: string;
  readonly weights: string;
}

const FIX = 'Use the base that the adapter was trained on.';

/** How an adapter must fit its base. */
export interface FitOptions {
  /**
   * True: modules that do not fit the base or are not in target_modules are left out, and a warning
   * names them. False: they are an error. Not given: only those that do not fit are, and the others
   * are ignored with a warning, as in PEFT.
   */
  readonly partial?: boolean | undefined;
}

/**
 * Checks that an adapter fits its base; returns warnings.
 *
 * @throws LoraError('adapter') when a module or tensor is not in the base or has another shape.
 */
export function checkAgainstBase(
  adapter: Adapter,
  base: AdapterBase,
  files: AdapterFiles,
  { partial }: FitOptions = {},
): Problem[] {
  const { modules, config } = adapter;
  const misfits = misfitsOf(adapter, base);
  const [first] = misfits;
  if (first) {
    const fitting = modules.length - misfits.filter(({ tensor }) => tensor === undefined).length;
    const isPart = fitting > 0 && fitting < modules.length;
    const { message, tensor } = first;
    throw new LoraError(
      'adapter',
      isPart
        ? `${message} Only ${fitting} of ${countOf(modules.length, 'module')} ${fitting === 1 ? 'fits' : 'fit'} the base.`
        : message,
      {
        place: { file: files.weights, ...(tensor !== undefined && { tensor }) },
        fix:
          isPart && partial === false
            ? `${FIX.slice(0, -1)}, or leave the others out with --partial where the command has it.`
            : FIX,
      },
    );
  }
  return [
    ...absentTargets(modules, config, base, files.config),
    ...unmatchedSettings(adapter, base, files.config),
    ...otherName(config, base, files.config),
  ];
}

/**
 * An adapter as far as it fits its base, with warnings of what is unusual or left out.
 *
 * @throws LoraError('adapter') as `checkAgainstBase`; with `partial` only when nothing fits.
 */
export function fitToBase(
  adapter: Adapter,
  base: AdapterBase,
  files: AdapterFiles,
  options: FitOptions,
): { readonly adapter: Adapter; readonly warnings: readonly Problem[] } {
  const misfits = options.partial === true ? misfitsOf(adapter, base) : [];
  const left = new Set(misfits.map(({ name }) => name));
  const modules = adapter.modules.filter((m) => !left.has(m.path));
  if (left.size === 0 || modules.length === 0)
    return { adapter, warnings: checkAgainstBase(adapter, base, files, options) };
  // the config names all rows of tokens together
  const leavesTokens = adapter.trained.some(({ name, rows }) => rows && left.has(name));
  const config = withWholePaths(
    adapter.config,
    modules.map((m) => targetOf(m, adapter.config.use_rslora)),
  );
  const fitting: Adapter = {
    ...adapter,
    config: leavesTokens ? { ...config, trainable_token_indices: null } : config,
    modules,
    trained: adapter.trained.filter(({ name, rows }) => !left.has(name) && !(rows && leavesTokens)),
  };
  const count = `${left.size} of ${adapter.modules.length + adapter.trained.length}`;
  return {
    adapter: fitting,
    warnings: [
      warning(
        `${count} modules and tensors ${left.size === 1 ? 'does' : 'do'} not fit the base and ${left.size === 1 ? 'is' : 'are'} left out: ${namesInShort([...left], NAMED)}`,
        { file: files.weights },
      ),
      ...checkAgainstBase(fitting, base, files),
    ],
  };
}

/** Names that a warning lists. */
const NAMED = 20;

/** The modules and tensors that do not fit the base. */
interface Misfit {
  readonly name: string;
  readonly message: string;
  /** Of a tensor that is trained in full. */
  readonly tensor?: string;
}

function misfitsOf(adapter: Adapter, base: AdapterBase): Misfit[] {
  const { modules, trained } = adapter;
  const known = new Map(base.modules.map((m) => [m.path, m]));
  const ofTokens = base.tokens === undefined ? null : tokenMisfit(adapter, base.tokens);
  return [
    ...trained.flatMap(({ name, rows }) =>
      rows && ofTokens !== null ? [{ name, tensor: name, message: ofTokens }] : [],
    ),
    ...modules.map((m) => ({ name: m.path, message: moduleMisfit(m, known.get(m.path)) })),
    ...trained.map((t) => ({ name: t.name, tensor: t.name, message: tensorMisfit(t, base) })),
  ].filter((own): own is Misfit => own.message !== null);
}

function moduleMisfit(own: LoraFactors, module: TargetableModule | undefined): string | null {
  if (!module) return `The adapter changes ${own.path}, which the base does not have.`;
  if (own.kind !== module.kind)
    return `The adapter treats ${own.path} as "${own.kind}", but it is "${module.kind}" in the base.`;
  if (module.in_features === own.in_features && module.out_features === own.out_features)
    return null;
  return `The adapter does not fit this base: ${own.path} is ${own.out_features} x ${own.in_features} in the adapter, ${module.out_features} x ${module.in_features} in the base.`;
}

function tensorMisfit(
  { name, shape, rows }: TrainedTensor,
  { shapes }: AdapterBase,
): string | null {
  const own = shapes?.get(name);
  const expected = rows && own ? [rows.length, own[1]] : own;
  if (!shapes || expected?.join() === shape.join()) return null;
  return own
    ? `The adapter's ${name} has the shape [${shape.join(', ')}], the base's [${own.join(', ')}].`
    : `The adapter replaces ${name}, which the base does not have.`;
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
  const [it, its, update] =
    absent.length === 1 ? ['it', 'its', 'update is'] : ['them', 'their', 'updates are'];
  // PEFT starts them with B = 0, except where the config says that B is random, too
  const asInPeft =
    config.raw['init_lora_weights'] === false
      ? 'where PEFT leaves random numbers (init_lora_weights is false)'
      : 'as in PEFT';
  return [
    warning(
      `target_modules includes ${namesInShort(absent)}, but the weights file has no tensors for ${it}: ${its} ${update} zero, ${asInPeft}`,
      { file, key: 'target_modules' },
    ),
  ];
}

/** Entries of the config that match nothing in the base. */
function unmatchedSettings(
  { config, modules }: Adapter,
  { modules: known, paths, heads = [], has_other_parts = false }: AdapterBase,
  file: string,
): Problem[] {
  if (!paths) return [];
  const adapted = new Set(modules.map((m) => m.path));
  const isKnownElsewhere = ({ key, entry }: UnmatchedEntry) =>
    (has_other_parts && ELSEWHERE.has(key)) ||
    // PEFT saves both names of heads, of which a model has one
    (key === 'modules_to_save' && heads.length > 0 && HEADS.includes(entry));
  return unmatchedEntries(config, {
    modules: known,
    adapted: known.filter((m) => adapted.has(m.path)),
    paths,
  })
    .filter((own) => !isKnownElsewhere(own))
    .map((own) => ({
      severity: 'warning',
      message: describeUnmatched(own),
      place: { file, key: own.key },
    }));
}

/** Settings that may name modules of a model's other parts. */
const ELSEWHERE: ReadonlySet<UnmatchedEntry['key']> = new Set([
  'target_modules',
  'exclude_modules',
  'modules_to_save',
]);

function otherName(
  { base_model_name_or_path: name }: AdapterConfig,
  base: AdapterBase,
  file: string,
): Problem[] {
  if (name === null || base.names.some((own) => isSameModel(own, name))) return [];
  return [
    warning(
      `The adapter was made for ${name}, but this base is ${base.names[0] ?? 'another'}; the shapes match`,
      { file, key: 'base_model_name_or_path' },
    ),
  ];
}

/** The first names, and how many more there are. */
export const namesInShort = (names: readonly string[], shown = 3) =>
  names.length > shown
    ? `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`
    : names.join(', ');

/**
 * Compared by the last part of the name: HuggingFaceTB/SmolLM2-135M and SmolLM2-135M.Q4_1.gguf are
 * the same model.
 */
export function isSameModel(a: string, b: string): boolean {
  const [x, y] = [a, b].map((name) =>
    (name.split(/[\\/]/).filter(Boolean).at(-1) ?? '').toLowerCase().replace(/[^a-z0-9]/g, ''),
  );
  return Boolean(x && y) && (x!.startsWith(y!) || y!.startsWith(x!));
}

/** A warning; `message` without its period. */
export function warning(message: string, place: Problem['place']): Problem {
  return { severity: 'warning', message: `${message}.`, ...(place && { place }) };
}
