import { tensorName, tensorShape, trainedName } from '../formats/peft/names';
import type { Adapter, LoraFactors, TrainedTensor } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import {
  Parameters,
  type Parameter,
  type ParameterRole,
  type ParameterStart,
} from './training/parameters';

/** A LoRA module as the model runs it: of the adapter that trains, or of a frozen one below it. */
export interface LoraModule {
  readonly path: string;
  readonly r: number;
  readonly in_features: number;
  readonly out_features: number;
  readonly scaling: number;
  /** Which adapter it is of: the frozen ones from below, then the one that trains. */
  readonly adapter: number;
  /** Names its dropout; null: a frozen one, which has none. */
  readonly number: number | null;
  readonly A: FactorSource; // [r, in]
  readonly B: FactorSource; // [out, r]
  readonly magnitude: FactorSource | null; // [out]
}

/** Where numbers come from: the flat vector of what trains, or a frozen array. */
export type FactorSource =
  | { readonly kind: 'trained'; readonly parameter: Parameter }
  | { readonly kind: 'frozen'; readonly data: Float32Array };

const ROLES = { A: 'A', B: 'B', magnitude: 'magnitude' } as const;

/** Takes new numbers; `rescaled`: those of frozen adapters too. */
export type Refresh = (rescaled: boolean) => Promise<void>;

/**
 * The adapter that trains, the frozen ones below it, and all that they adapt, by module path and
 * tensor name.
 */
export class Adapters {
  readonly parameters: Parameters;
  private readonly byPath = new Map<string, LoraModule[]>();
  private readonly trainedByName: ReadonlyMap<string, Parameter>;
  private readonly refreshers: Refresh[] = [];
  private scales: readonly number[] = [];

  constructor(
    private readonly active: Adapter,
    frozen: readonly Adapter[] = [],
  ) {
    this.parameters = new Parameters([
      ...active.modules.flatMap(startsOf),
      ...active.trained.map((t) => startOf(t, active)),
    ]);
    this.trainedByName = new Map(
      active.trained.map((t) => [t.name, this.parameters.get(trainedName(t, active))]),
    );
    for (const adapter of frozen) refuseInStack(adapter);
    frozen.forEach(({ modules }, adapter) =>
      modules.forEach((m) => this.add(frozenModule(m, adapter))),
    );
    active.modules.forEach((m, i) => this.add(this.trainedModule(m, i, frozen.length)));
  }

  modulesAt(path: string): readonly LoraModule[] {
    return this.byPath.get(path) ?? [];
  }

  /** The parameter of a tensor of the base that trains; null: it is frozen. */
  trained(name: string): Parameter | null {
    return this.trainedByName.get(name) ?? null;
  }

  read(source: FactorSource): Float32Array {
    return source.kind === 'frozen' ? source.data : this.parameters.value(source.parameter);
  }

  /** The adapter with the present numbers. */
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

  /** `refresh` is called whenever the numbers have changed. */
  onChange(refresh: Refresh): void {
    this.refreshers.push(refresh);
  }

  async changed(): Promise<void> {
    for (const refresh of this.refreshers) await refresh(false);
  }

  /** s, as many times as its adapter is taken. */
  scalingOf({ scaling, adapter }: LoraModule): number {
    return scaling * (this.scales[adapter] ?? 1);
  }

  /**
   * Takes each adapter so many times: the frozen ones from below, then the one that trains. 1: as
   * it is; 0: not at all.
   */
  async rescale(scales: readonly number[]): Promise<void> {
    this.scales = scales;
    for (const refresh of this.refreshers) await refresh(true);
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
      ...shapeOf(m),
      adapter,
      number,
      A: source('A'),
      B: source('B'),
      magnitude: m.magnitude && source('magnitude'),
    };
  }
}

function startsOf(m: LoraFactors): ParameterStart[] {
  const factors = m.magnitude ? (['A', 'B', 'magnitude'] as const) : (['A', 'B'] as const);
  return factors.map((factor) => {
    const role: ParameterRole = m.kind === 'embedding' ? 'embedding' : ROLES[factor];
    return { name: tensorName(m, factor), shape: tensorShape(m, factor), role, data: m[factor]! };
  });
}

const startOf = (tensor: TrainedTensor, adapter: Adapter): ParameterStart => ({
  name: trainedName(tensor, adapter),
  shape: tensor.shape,
  role: 'trained',
  data: tensor.data,
});

function frozenModule(m: LoraFactors, adapter: number): LoraModule {
  return {
    ...shapeOf(m),
    adapter,
    number: null,
    A: { kind: 'frozen', data: m.A },
    B: { kind: 'frozen', data: m.B },
    magnitude: null,
  };
}

const shapeOf = ({ path, r, in_features, out_features, scaling }: LoraFactors) => ({
  path,
  r,
  in_features,
  out_features,
  scaling,
});

/**
 * What DoRA scales is the sum below it, and a trained tensor replaces the base's: neither can lie
 * under another adapter.
 */
function refuseInStack({ modules, trained }: Adapter): void {
  const dora = modules.find((m) => m.magnitude);
  if (!dora && trained.length === 0) return;
  const what = dora ? `is a DoRA adapter (${dora.path})` : `replaces ${trained[0]!.name}`;
  throw new LoraError('adapter', `An adapter that ${what} cannot lie under another one.`, {
    fix: 'Merge it into the base first, and train on the merged model.',
  });
}
