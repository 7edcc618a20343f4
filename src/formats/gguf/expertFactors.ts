import type { AdapterDtype, LoraFactors } from '../../lora/adapter';
import { isOnExpert, joinedGateUp, shareInput, storedModules } from '../../lora/experts';
import { LoraError } from '../../shared/errors';
import { adapterTensor } from '../adapterDtype';
import { matrixOf, factorsOf, rescaled } from '../importedAdapter';
import type { TensorToWrite } from '../tensorWriter';
import type { GgufFamily } from './family';
import { ggufName } from './names';

// Factors on the experts of a mixture, which llama.cpp has as one tensor for all of them: A
// [experts, r, in] and B [experts, out, r] (build_lora_mm_id).

const OF_EXPERT = /^(.+\.experts)\.(\d+)\.([a-z_]+)$/;

interface ExpertsTarget {
  readonly family: GgufFamily;
  /** The experts of each mixture. */
  readonly experts: number;
  readonly dtype: AdapterDtype;
  /** Of the whole file. */
  readonly alpha: number;
}

/**
 * The tensors of the modules on experts. Experts without a module, and ranks below the largest, are
 * filled up with zeros.
 *
 * @throws LoraError('adapter') when llama.cpp has no tensor for a module.
 */
export function expertTensors(
  modules: readonly LoraFactors[],
  target: ExpertsTarget,
  file: string,
): TensorToWrite[] {
  const { family } = target;
  const isJoined = [...family.parts.values()].some((path) => path.endsWith('.gate_up_proj'));
  const own = modules.filter(isOnExpert);
  const stored = isJoined ? own : storedModules(own, family.experts);
  const groups = new Map<string, Map<number, LoraFactors>>();
  for (const m of stored) {
    const [, module = '', expert, parameter = ''] = OF_EXPERT.exec(m.path) ?? [];
    const name = ggufName(`${module}.${parameter}.weight`, family);
    if (name === undefined || (isJoined && /^(?:gate|up)_proj$/.test(parameter)))
      throw new LoraError(
        'adapter',
        `${m.path} has no name in GGUF files of the architecture "${family.arch}".`,
        { place: { file } },
      );
    const group = groups.get(name) ?? new Map<number, LoraFactors>();
    groups.set(name, group.set(Number(expert), m));
  }
  return [...groups].flatMap(([name, group]) => stackedTensors(name, group, target));
}

function stackedTensors(
  name: string,
  group: ReadonlyMap<number, LoraFactors>,
  { experts, alpha, dtype }: ExpertsTarget,
): TensorToWrite[] {
  const all = [...group.values()];
  const { in_features, out_features } = all[0]!;
  const r = all.reduce((most, m) => Math.max(most, m.r), 0);
  const A = new Float32Array(experts * r * in_features);
  const B = new Float32Array(experts * out_features * r);
  for (const [expert, m] of group) {
    A.set(m.A, expert * r * in_features);
    const own = rescaled(m, alpha / r);
    for (let row = 0; row < out_features; row++)
      B.set(own.subarray(row * m.r, (row + 1) * m.r), (expert * out_features + row) * r);
  }
  return [
    adapterTensor({ name: `${name}.lora_a`, shape: [experts, r, in_features], data: A }, dtype),
    adapterTensor({ name: `${name}.lora_b`, shape: [experts, out_features, r], data: B }, dtype),
  ];
}

/** A factor of all experts. */
interface StackedFactor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly tensor: string;
}

/**
 * The modules of the experts of one tensor, by the checkpoint's name of it.
 *
 * @throws LoraError('adapter') when the factors do not fit.
 */
export function expertModulesOf(
  name: string,
  { a, b }: { readonly a: StackedFactor; readonly b: StackedFactor },
  { alpha, file }: { readonly alpha: number; readonly file: string },
): LoraFactors[] {
  const [, module = '', parameter = ''] = /^(.+\.experts)\.([a-z_]+)\.weight$/.exec(name) ?? [];
  const count = a.shape[0] ?? 0;
  if (a.shape.length !== 3 || b.shape.length !== 3 || b.shape[0] !== count || count === 0)
    throw new LoraError(
      'adapter',
      `The factors of experts must have three dimensions with the experts as the first one, but the shapes are [${a.shape.join(', ')}] and [${b.shape.join(', ')}].`,
      { place: { file, tensor: a.tensor } },
    );
  const part = ({ shape, data, tensor }: StackedFactor, expert: number) => {
    const size = data.length / count;
    const own = data.slice(expert * size, (expert + 1) * size);
    return matrixOf(own, shape.slice(1), { file, tensor });
  };
  return Array.from({ length: count }, (_, expert) => {
    const A = part(a, expert);
    return factorsOf({
      path: `${module}.${expert}.${parameter}`,
      kind: 'linear',
      A,
      B: part(b, expert),
      scaling: alpha === 0 ? 1 : alpha / A.rows,
    });
  });
}

/**
 * The modules with those of gate and up of an expert as one, as PEFT has them: where both have one
 * A, and wherever the checkpoint has one matrix of both.
 *
 * @throws LoraError('adapter') when such a matrix is adapted in part.
 */
export function withGateUp(
  modules: readonly LoraFactors[],
  order: GgufFamily['experts'],
  file: string,
): LoraFactors[] {
  if (!order) return [...modules];
  const byPath = new Map(modules.map((m) => [m.path, m]));
  const partnerOf = (m: LoraFactors, own: string, other: string) =>
    isOnExpert(m) && m.path.endsWith(`.${own}`)
      ? byPath.get(m.path.replace(new RegExp(`${own}$`), other))
      : undefined;
  const joins = (gate: LoraFactors, up: LoraFactors) => order === 'in_turn' || shareInput(gate, up);
  return modules.flatMap((m) => {
    const up = partnerOf(m, 'gate_proj', 'up_proj');
    if (up && joins(m, up)) return [joinedGateUp(m, up, order)];
    const gate = partnerOf(m, 'up_proj', 'gate_proj');
    if (gate && joins(gate, m)) return [];
    if (order === 'in_turn' && isOnExpert(m) && /\.(?:gate|up)_proj$/.test(m.path))
      throw new LoraError('adapter', `${m.path} is adapted without its partner.`, {
        place: { file },
        fix: 'Use an adapter with both ffn_gate_exps and ffn_up_exps.',
      });
    return [m];
  });
}
