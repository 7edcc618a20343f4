import type { TargetableModule, TrainedTensor } from '../../lora/adapter';
import type { AdaptedModules, BesideCounts } from '../../lora/count';
import { isModuleToSave } from '../../lora/modulesToSave';
import { tokenRowsOf, type TokenRows } from '../../lora/tokenRows';
import type { LoraSettings } from '../../shared/recipe';
import { tokenLayersOf } from '../peft/tokens';
import { elementsOf } from '../tensorInfo';
import { namedTensors } from './modules';
import type { Spec } from './spec';

/** The settings that decide it. */
export type BesideSettings = Pick<LoraSettings, 'bias' | 'trainable_token_indices'> & {
  readonly modules_to_save: readonly string[] | null;
};

/** Of a recipe that names nothing. A classification head trains without being named. */
export const NOTHING_NAMED: BesideSettings = {
  modules_to_save: null,
  bias: 'none',
  trainable_token_indices: null,
};

/** What of a base is trained beside the factors of an adapter. */
export interface TrainedBeside extends BesideCounts {
  /** Names of the modules that train in full, and so have no factors (modules_to_save). */
  readonly saved: readonly string[] | null;
  /** How many tensors an adapter's file has for them. */
  readonly tensors: number;
  /** The biases that train only if their module is adapted, by its path: their numbers. */
  readonly biases: Readonly<Record<string, number>>;
}

interface SavingBase {
  readonly spec: Spec;
  /** Names of tensors of a head that the checkpoint lacks. */
  readonly missing: readonly string[];
}

/**
 * The modules that are trained in full: those that the recipe names, and a classification head.
 * For texts PEFT lists both `classifier` and `score`; other layers of the head that the base does
 * not have are added.
 */
export function modulesToSave(
  { spec, missing }: SavingBase,
  named: readonly string[] | null,
): readonly string[] | null {
  if (spec.head.kind !== 'labels') return named;
  const heads = spec.task === 'image_cls' ? ['classifier'] : ['classifier', 'score'];
  const known = [...new Set([...(named ?? []), ...heads])];
  return [...known, ...new Set(missing.map(pathOf).filter((path) => !isModuleToSave(path, known)))];
}

/**
 * The whole tensors that train for a list of `modulesToSave` and a setting of biases, in the
 * model's order.
 *
 * @param adapted Paths of the modules with factors.
 */
export function savedTensors(
  { spec }: Pick<SavingBase, 'spec'>,
  { modules_to_save, bias }: Pick<BesideSettings, 'modules_to_save' | 'bias'>,
  adapted: ReadonlySet<string>,
): { readonly name: string; readonly shape: readonly number[] }[] {
  const isTrainedBias = (name: string) =>
    name.endsWith('.bias') &&
    (bias === 'all' || (bias === 'lora_only' && adapted.has(pathOf(name))));
  return namedTensors(spec).filter(
    ({ name }) => isTrainedBias(name) || isModuleToSave(pathOf(name), modules_to_save),
  );
}

/**
 * The tensors that a recipe trains of a base beside the factors, wholly or in part, but for biases
 * of adapted modules alone. Rows that the base lacks are not among them.
 */
export function besideTensors(base: SavingBase, lora: BesideSettings): CountedTensor[] {
  const { spec } = base;
  const { bias, trainable_token_indices: indices } = lora;
  const saving = { bias, modules_to_save: modulesToSave(base, lora.modules_to_save) };
  const layers = indices && tokenLayersOf(spec);
  const found = layers ? tokenRowsOf(indices, layers) : null;
  const tokens = found && 'layers' in found ? found.layers : [];
  return [...savedTensors(base, saving, new Set()), ...tokens.map((own) => tokenTensor(spec, own))];
}

/** What a recipe trains of a base beside the factors. */
export function trainedBeside(base: SavingBase, lora: BesideSettings): TrainedBeside {
  const { spec } = base;
  const tensors = besideTensors(base, lora);
  const names = new Set(tensors.map(({ name }) => name));
  return {
    ...countedTensors(spec, tensors),
    saved: modulesToSave(base, lora.modules_to_save),
    tensors: tensors.length,
    biases: lora.bias === 'lora_only' ? biasesOf(spec, names) : {},
  };
}

/** The rows of a layer that train, as one tensor. */
export const tokenTensor = ({ hidden_size }: Spec, { path, rows }: TokenRows): CountedTensor => ({
  name: `${path}.weight`,
  shape: [rows.length, hidden_size],
  rows,
});

/** A tensor of the base that trains; `rows`: which of its rows do, where not all. */
type CountedTensor = Pick<TrainedTensor, 'name' | 'shape' | 'rows'>;

/** The numbers of tensors of a base that train. */
export function countedTensors(
  { head }: Pick<Spec, 'head'>,
  tensors: readonly CountedTensor[],
): BesideCounts {
  const output = head.kind === 'lm' ? `${head.output.path}.weight` : null;
  const sizes = (own: readonly CountedTensor[]) => own.map(({ shape }) => elementsOf(shape));
  const whole = tensors.filter(({ rows }) => !rows);
  const sum = (numbers: readonly number[]) => numbers.reduce((all, own) => all + own, 0);
  return {
    whole: sum(sizes(whole)),
    rows: sum(sizes(tensors.filter(({ rows }) => rows))),
    largest: Math.max(0, ...sizes(whole)),
    output: whole.some(({ name }) => name === output),
  };
}

function biasesOf(spec: Spec, others: ReadonlySet<string>): Record<string, number> {
  const biases = namedTensors(spec).filter(
    ({ name }) => name.endsWith('.bias') && !others.has(name),
  );
  return Object.fromEntries(biases.map(({ name, shape }) => [pathOf(name), elementsOf(shape)]));
}

/** The same with the biases of the modules that are adapted. */
export function withBiases(
  beside: TrainedBeside,
  adapted: readonly Pick<TargetableModule, 'path'>[],
): TrainedBeside {
  const own = adapted.flatMap(({ path }) => beside.biases[path] ?? []);
  return {
    ...beside,
    whole: beside.whole + own.reduce((sum, count) => sum + count, 0),
    largest: Math.max(beside.largest, ...own),
    tensors: beside.tensors + own.length,
  };
}

/** What trains where these modules are chosen: those that train in full have no factors. */
export function adaptedBeside(
  beside: TrainedBeside,
  { modules: chosen, ...factors }: Omit<AdaptedModules, 'besides'>,
): AdaptedModules {
  const modules = chosen.filter(({ path }) => !isModuleToSave(path, beside.saved));
  return { modules, ...factors, besides: withBiases(beside, modules) };
}

/** layers.0.q_proj.bias -> layers.0.q_proj; '' of a parameter of the whole model. */
export const pathOf = (tensor: string): string =>
  tensor.slice(0, Math.max(0, tensor.lastIndexOf('.')));
