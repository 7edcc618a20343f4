import type { Adapter, LoraFactors } from './adapter';
import { LoraError } from '../shared/errors';

// LoRA on the experts of a mixture. PEFT has one pair of factors for all (target_parameters); here
// each expert has its own module, because its weights are separate layers.

/** The parameters that PEFT stacks; those of gate and up are one. */
export type ExpertParameter = 'gate_up_proj' | 'down_proj';

const OF_EXPERT = /^(.+\.experts)\.(\d+)\.(gate_up_proj|down_proj)$/;

/** Factors for a parameter of all experts: A [experts · r, in], B [out, r · experts]. */
export interface StackedFactors extends Omit<
  LoraFactors,
  'path' | 'kind' | 'magnitude' | 'kernel'
> {
  /** Path of the experts' module. */
  readonly module: string;
  readonly parameter: ExpertParameter;
  readonly num_experts: number;
}

/** The modules of the experts: rows of A go expert by expert, columns of B rank by rank. */
export function expertModules(stacked: StackedFactors): LoraFactors[] {
  const { module, parameter, num_experts, r, in_features, out_features, scaling, A, B } = stacked;
  const size = r * in_features;
  return Array.from({ length: num_experts }, (_, expert): LoraFactors => {
    const own = new Float32Array(out_features * r);
    for (let i = 0; i < own.length; i++) own[i] = B[i * num_experts + expert]!;
    return {
      path: `${module}.${expert}.${parameter}`,
      kind: 'linear',
      r,
      in_features,
      out_features,
      scaling,
      A: A.slice(expert * size, (expert + 1) * size),
      B: own,
      magnitude: null,
    };
  });
}

/** Whether a module is on one expert of a mixture. */
export const isOnExpert = ({ path }: Pick<LoraFactors, 'path'>): boolean =>
  /\.experts\.\d+\./.test(path);

/**
 * The parameter that a module of a mixture adapts, by its path in PEFT: that of all experts, or a
 * router's weight.
 */
export const parameterKey = ({ path }: Pick<LoraFactors, 'path'>): string => {
  const [, module, , parameter] = OF_EXPERT.exec(path) ?? [];
  return module === undefined ? `${path}.weight` : `${module}.${parameter!}`;
};

const ROUTER = /\.mlp\.(?:gate|router)$/;

/** The path by which PEFT looks up the rank and the alpha of a module of a new adapter. */
export const patternPath = ({ path }: Pick<LoraFactors, 'path'>): string =>
  OF_EXPERT.test(path) || ROUTER.test(path) ? parameterKey({ path }) : path;

/** Whether the modules on experts are PEFT's target_parameters, to be stored as such. */
export const targetsParameters = ({ config }: Pick<Adapter, 'config'>): boolean => {
  const { target_parameters: given } = config.raw;
  return Array.isArray(given) && given.length > 0;
};

/**
 * An adapter's modules, those on experts of each parameter together.
 *
 * @throws LoraError('adapter') for experts of different ranks, or if some have no module.
 */
export function stackedModules(adapter: Pick<Adapter, 'config' | 'modules'>): {
  readonly modules: readonly LoraFactors[];
  readonly stacked: readonly StackedFactors[];
} {
  const { modules } = adapter;
  if (!targetsParameters(adapter)) return { modules, stacked: [] };
  const groups = new Map<string, LoraFactors[]>();
  const others: LoraFactors[] = [];
  for (const m of modules) {
    const [, module, , parameter] = OF_EXPERT.exec(m.path) ?? [];
    if (module === undefined) others.push(m);
    else {
      const key = `${module}.${parameter!}`;
      groups.set(key, [...(groups.get(key) ?? []), m]);
    }
  }
  return { modules: others, stacked: [...groups.values()].map(stackedOf) };
}

function stackedOf(modules: readonly LoraFactors[]): StackedFactors {
  const experts = new Map(modules.map((m) => [Number(OF_EXPERT.exec(m.path)![2]), m]));
  const [, module, , parameter] = OF_EXPERT.exec(modules[0]!.path)!;
  const num_experts = experts.size;
  const { r, in_features, out_features, scaling } = modules[0]!;
  const A = new Float32Array(num_experts * r * in_features);
  const B = new Float32Array(out_features * r * num_experts);
  for (let expert = 0; expert < num_experts; expert++) {
    const m = experts.get(expert);
    if (m?.r !== r || m.scaling !== scaling || m.magnitude)
      throw new LoraError('adapter', `The experts of ${module!} have different kinds of LoRA.`, {
        fix: 'Merge the adapter into its base.',
      });
    A.set(m.A, expert * r * in_features);
    m.B.forEach((b, i) => (B[i * num_experts + expert] = b));
  }
  return {
    module: module!,
    parameter: parameter as ExpertParameter,
    num_experts,
    r,
    in_features,
    out_features,
    scaling,
    A,
    B,
  };
}

/** How the rows of gate and up are one matrix: first gate, or the two in turn. */
export type GateOrder = 'halves' | 'in_turn';

/** The modules on the layers that a checkpoint stores: of gate and up, one on each, with one A. */
export const storedModules = (
  modules: readonly LoraFactors[],
  order: GateOrder = 'halves',
): LoraFactors[] =>
  modules.flatMap((m) => {
    if (OF_EXPERT.exec(m.path)?.[3] !== 'gate_up_proj') return [m];
    return (['gate_proj', 'up_proj'] as const).map((name, part) =>
      partOfGateUp(m, name, part, order),
    );
  });

function partOfGateUp(
  m: LoraFactors,
  name: 'gate_proj' | 'up_proj',
  part: number,
  order: GateOrder,
): LoraFactors {
  const { r, out_features } = m;
  const inner = out_features / 2;
  const B = new Float32Array(inner * r);
  for (let row = 0; row < inner; row++) {
    const from = (order === 'halves' ? part * inner + row : 2 * row + part) * r;
    B.set(m.B.subarray(from, from + r), row * r);
  }
  return { ...m, path: m.path.replace(/gate_up_proj$/, name), out_features: inner, B };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const all = new Float32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

const sameNumbers = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i]);

/**
 * One module of an expert's gate and up: with one A where theirs are equal, else with the rows of
 * both.
 */
export function joinedGateUp(gate: LoraFactors, up: LoraFactors, order: GateOrder): LoraFactors {
  const isOne = shareInput(gate, up);
  const r = isOne ? gate.r : gate.r + up.r;
  const inner = gate.out_features;
  const B = new Float32Array(2 * inner * r);
  const put = ({ B: own, r: rank, scaling }: LoraFactors, part: number, column: number) => {
    const factor = isOne ? 1 : scaling;
    for (let row = 0; row < inner; row++) {
      const to = (order === 'halves' ? part * inner + row : 2 * row + part) * r + column;
      for (let i = 0; i < rank; i++) B[to + i] = own[row * rank + i]! * factor;
    }
  };
  put(gate, 0, 0);
  put(up, 1, isOne ? 0 : gate.r);
  return {
    ...gate,
    path: gate.path.replace(/gate_proj$/, 'gate_up_proj'),
    r,
    out_features: 2 * inner,
    scaling: isOne ? gate.scaling : 1,
    A: isOne ? gate.A : joined(gate.A, up.A),
    B,
  };
}

/** Whether gate and up of an expert have factors with one A. */
export const shareInput = (gate: LoraFactors, up: LoraFactors): boolean =>
  gate.scaling === up.scaling && sameNumbers(gate.A, up.A);
