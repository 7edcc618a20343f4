import { tensorName, tensorShape, trainedName } from '../formats/peft/names';
import type { Adapter, LoraFactors, TrainedTensor } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import { areInPlace } from './ops/arena';
import type { FusedOps } from './ops/fusedOps';
import type { Ops } from './ops/ops';
import {
  Parameters,
  type Parameter,
  type ParameterRole,
  type ParameterStart,
  type Reach,
} from './training/parameters';
import { WrittenFactors } from './training/writtenFactors';

/** The weights that the parts of a loaded model compute with, and the adapters that they apply. */
export interface ModelContext {
  readonly ops: Ops;
  readonly adapters: Adapters;
}

/** A LoRA module of the trainable adapter, or of a frozen one below it. */
export interface LoraModule {
  readonly path: string;
  readonly r: number;
  readonly in_features: number;
  readonly out_features: number;
  readonly scaling: number;
  /** Index of its adapter: the frozen ones from the lowest on, then the trainable one. */
  readonly adapter: number;
  /** Seeds its dropout; null for a frozen module, which has none. */
  readonly number: number | null;
  readonly A: FactorSource; // [r, in]
  readonly B: FactorSource; // [out, r]
  readonly magnitude: FactorSource | null; // [out]
}

/**
 * Where a factor's numbers are: in the flat vector of the trainable parameters, or in a frozen
 * array.
 */
export type FactorSource =
  | { readonly kind: 'trained'; readonly parameter: Parameter }
  | { readonly kind: 'frozen'; readonly data: Float32Array };

/** Rows of a tensor, and the parameter that has their numbers. */
export interface TrainedTokenRows {
  readonly parameter: Parameter; // [rows, width]
  readonly rows: Int32Array;
}

/** `rows`: null if the tensor is whole. */
interface TrainedParameter {
  readonly parameter: Parameter;
  readonly rows: readonly number[] | null;
}

const ROLES = { A: 'A', B: 'B', magnitude: 'magnitude' } as const;

/**
 * Called when trained values have changed; `rescaled`: values of frozen adapters have changed, too.
 */
export type ChangeListener = (rescaled: boolean) => Promise<void>;

/** The trainable adapter and the frozen ones below it, by module path and tensor name. */
export class Adapters {
  readonly parameters: Parameters;
  /** What `writes` has kernels for. */
  readonly written = new WrittenFactors();
  private readonly byPath = new Map<string, LoraModule[]>();
  private readonly trainedByName: ReadonlyMap<string, TrainedParameter>;
  private readonly listeners: ChangeListener[] = [];
  private scales: readonly number[] = [];
  /** The operations whose kernels change the trained numbers in place; null: none do. */
  readonly inPlace: Ops | null;

  /**
   * @param reachOf Which steps have a gradient of a module, by its path, or of a tensor.
   * @param ops In whose memory the trained numbers are. Default: that of JavaScript.
   * @throws LoraError('adapter') for a frozen adapter with DoRA or trained tensors.
   */
  constructor(
    private readonly active: Adapter,
    frozen: readonly Adapter[] = [],
    reachOf: (name: string) => Reach = () => 'always',
    ops: Ops | null = null,
  ) {
    const starts = [
      ...active.modules.flatMap((m) => moduleStarts(m, reachOf(m.path))),
      ...active.trained.map((t) => ({ ...trainedStart(t, active), reach: reachOf(t.name) })),
    ];
    this.inPlace = inPlaceOf(ops, starts);
    this.parameters = new Parameters(starts, allocateIn(this.inPlace));
    this.trainedByName = new Map(
      active.trained.map((t) => [
        t.name,
        { parameter: this.parameters.get(trainedName(t, active)), rows: t.rows ?? null },
      ]),
    );
    for (const adapter of frozen) refuseInStack(adapter);
    frozen.forEach(({ modules }, adapter) =>
      modules.forEach((m) => this.add(frozenModule(m, adapter))),
    );
    active.modules.forEach((m, i) => this.add(this.trainedModule(m, i, frozen.length)));
  }

  /** The modules on a layer of the base, those of the lowest adapter first. */
  modulesAt(path: string): readonly LoraModule[] {
    return this.byPath.get(path) ?? [];
  }

  /** Whether some of the adapters change what is below a module. */
  areWithin(path: string): boolean {
    const isWithin = (name: string) => name.startsWith(`${path}.`);
    return [...this.byPath.keys()].some(isWithin) || [...this.trainedByName.keys()].some(isWithin);
  }

  /** The parameter of a whole tensor of the base that trains beside LoRA; null if none does. */
  trainedParameter(name: string): Parameter | null {
    const found = this.trainedByName.get(name);
    return found?.rows === null ? found.parameter : null;
  }

  /** The rows of a tensor of the base that train, while the others are frozen; null: none. */
  trainedTokens(name: string): TrainedTokenRows | null {
    const { parameter, rows = null } = this.trainedByName.get(name) ?? {};
    return parameter && rows ? { parameter, rows: Int32Array.from(rows) } : null;
  }

  /** The current values; a view, not a copy. */
  read(source: FactorSource): Float32Array {
    return source.kind === 'frozen' ? source.data : this.parameters.value(source.parameter);
  }

  /** The trainable adapter, with a copy of its current values. */
  current(): Adapter {
    const value = (name: string) => this.parameters.value(this.parameters.get(name)).slice();
    return {
      config: this.active.config,
      modules: this.active.modules.map((m) => ({
        ...m,
        A: value(tensorName(m, 'A')),
        B: value(tensorName(m, 'B')),
        magnitude: m.magnitude && value(tensorName(m, 'magnitude')),
      })),
      trained: this.active.trained.map((t) => ({ ...t, data: value(trainedName(t, this.active)) })),
    };
  }

  /** The kernels that write trained numbers into tensors in place; null: there are none. */
  get writes(): FusedOps | null {
    const fused = this.inPlace?.fused;
    return fused?.adapterStep ? fused : null;
  }

  onChange(listener: ChangeListener): void {
    this.listeners.push(listener);
  }

  /** To be called when trained values have changed: everything derived from them is updated. */
  async notifyChanged(): Promise<void> {
    if (this.writes) this.written.write(this.writes, this.parameters.theta);
    for (const listener of this.listeners) await listener(false);
  }

  /** The module's alpha / r (or alpha / √r), times its adapter's scale. */
  scalingOf({ scaling, adapter }: LoraModule): number {
    return scaling * (this.scales[adapter] ?? 1);
  }

  /** Sets each adapter's scale, in the order of `LoraModule.adapter`. 1: unchanged; 0: off. */
  async rescale(scales: readonly number[]): Promise<void> {
    this.scales = scales;
    for (const listener of this.listeners) await listener(true);
  }

  private add(module: LoraModule): void {
    this.byPath.set(module.path, [...(this.byPath.get(module.path) ?? []), module]);
  }

  private trainedModule(m: LoraFactors, number: number, adapter: number): LoraModule {
    const source = (factor: 'A' | 'B' | 'magnitude'): FactorSource => ({
      kind: 'trained',
      parameter: this.parameters.get(tensorName(m, factor)),
    });
    return {
      ...moduleShape(m),
      adapter,
      number,
      A: source('A'),
      B: source('B'),
      magnitude: m.magnitude && source('magnitude'),
    };
  }
}

/** Null if the numbers do not fit into one memory: JavaScript changes them then. */
export function inPlaceOf(
  ops: Ops | null,
  starts: readonly { readonly data: ArrayLike<number> }[],
): Ops | null {
  const size = starts.reduce((sum, { data }) => sum + data.length, 0);
  return ops && areInPlace(size) ? ops : null;
}

const allocateIn = (ops: Ops | null) =>
  ops ? (size: number): Float32Array => ops.allocateHostF32(size) : undefined;

function moduleStarts(m: LoraFactors, reach: Reach): ParameterStart[] {
  const factors = m.magnitude ? (['A', 'B', 'magnitude'] as const) : (['A', 'B'] as const);
  return factors.map((factor) => {
    const role: ParameterRole = m.kind === 'embedding' ? 'embedding' : ROLES[factor];
    const named = { name: tensorName(m, factor), shape: tensorShape(m, factor) };
    return { ...named, role, reach, data: m[factor]! };
  });
}

const trainedStart = (tensor: TrainedTensor, adapter: Adapter): ParameterStart => ({
  name: trainedName(tensor, adapter),
  shape: tensor.shape,
  role: 'trained',
  data: tensor.data,
});

function frozenModule(m: LoraFactors, adapter: number): LoraModule {
  return {
    ...moduleShape(m),
    adapter,
    number: null,
    A: { kind: 'frozen', data: m.A },
    B: { kind: 'frozen', data: m.B },
    magnitude: null,
  };
}

const moduleShape = ({ path, r, in_features, out_features, scaling }: LoraFactors) => ({
  path,
  r,
  in_features,
  out_features,
  scaling,
});

/**
 * DoRA scales the sum below it, and a trained tensor replaces the base's: neither can be stacked.
 */
function refuseInStack({ modules, trained }: Adapter): void {
  const dora = modules.find((m) => m.magnitude);
  if (!dora && trained.length === 0) return;
  const what = dora ? `is a DoRA adapter (${dora.path})` : `replaces ${trained[0]!.name}`;
  throw new LoraError('adapter', `An adapter that ${what} cannot be used below another one.`, {
    fix: 'Merge it into the base first, and train on the merged model.',
  });
}
