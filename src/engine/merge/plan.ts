import { namedTensors, tiedWeight } from '../../formats/architecture/modules';
import { isOfExperts, partsOf } from '../../formats/architecture/stackedNames';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import { Merger, type TensorMerger } from '../../lora/merge';
import { storedModules } from '../../lora/experts';
import type { Adapter, LoraFactors, TrainedTensor } from '../../lora/adapter';
import { areTransposed } from '../../lora/tying';
import { LoraError } from '../../shared/errors';
import type { OutputForm } from './form';
import type { MergeSource, SourceTensor } from './source';

/** A tensor of the merged model. */
export interface OutputTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Its type in the base; null: the base lacks it. */
  readonly from: DType | null;
  readonly shape: readonly number[];
  /** The name of the base's file that it comes from; null for a GGUF base. */
  readonly file: string | null;
  readonly change: Change;
}

/**
 * Where the numbers of an output tensor come from. `ignored`: the model does not use it, such as a
 * mask of old checkpoints, which may hold infinities.
 */
export type Change =
  /** The base's bytes. */
  | {
      readonly kind: 'copied';
      readonly bytes: () => AsyncIterable<Uint8Array>;
      readonly ignored: boolean;
    }
  /** The base's numbers in another dtype. */
  | { readonly kind: 'converted'; readonly source: SourceTensor; readonly ignored: boolean }
  /** The base's numbers plus updates. */
  | {
      readonly kind: 'merged';
      readonly source: SourceTensor;
      readonly merger: () => TensorMerger;
    }
  /** The same for parts of equal size, one after the other; null: without an update. */
  | {
      readonly kind: 'experts';
      readonly source: SourceTensor;
      readonly parts: readonly ((() => TensorMerger) | null)[];
    }
  /** A tensor that the adapter trained fully. */
  | { readonly kind: 'replaced'; readonly data: Float32Array }
  /** The base's numbers with other rows of some tokens. */
  | {
      readonly kind: 'tokens';
      readonly source: SourceTensor;
      /** The new rows by their numbers. */
      readonly rows: ReadonlyMap<number, Float32Array>;
    };

/** All tensors of the merged model. */
export interface MergePlan {
  readonly tensors: readonly OutputTensor[];
  /**
   * How the tie between the output layer and the embedding changes: false if the output layer gets
   * a tensor of its own, so that only one of them changes; true if it is tied again; null if it
   * stays as it is.
   */
  readonly tie: boolean | null;
  /** The tensors have the names of current transformers, because a new head was added. */
  readonly renamed: boolean;
}

/**
 * Plans where each tensor of the merged model comes from.
 * @throws LoraError when an adapter changes what the base does not have or two adapters conflict.
 */
export function planMerge(
  base: BaseModel,
  source: MergeSource,
  adapters: readonly Adapter[],
  form: OutputForm,
): MergePlan {
  const planner = new MergePlanner(base, adapters, form);
  const untied = planner.untiedOutput(source);
  const added = planner.addedTensors(source);
  const renamed = added.length > 0 && base.format !== 'gguf';
  const kept = planner
    .keptTensors(source)
    .map((tensor) => planner.outputOf(tensor, renamed ? tensor.name : tensor.stored));
  planner.checkAllUsed();
  return {
    tensors: [...kept, ...untied, ...added],
    tie: untied.length > 0 ? false : null,
    renamed,
  };
}

type TiedWeight = NonNullable<ReturnType<typeof tiedWeight>>;

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

interface TrainedData {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

class MergePlanner {
  private readonly factors = new Map<string, LoraFactors[]>();
  private readonly trained = new Map<string, TrainedData>();
  private readonly tokens = new Map<string, Map<number, Float32Array>>();
  private readonly used = new Set<string>();
  private readonly known: ReadonlySet<string>;

  constructor(
    private readonly base: BaseModel,
    adapters: readonly Adapter[],
    private readonly form: OutputForm,
  ) {
    this.known = new Set(namedTensors(base.spec).map(({ name }) => name));
    for (const { modules, trained } of adapters) {
      for (const m of this.storedOf(modules)) {
        const name = `${m.path}.weight`;
        this.factors.set(name, [...(this.factors.get(name) ?? []), m]);
      }
      for (const tensor of trained) {
        const { name, shape, data, rows } = tensor;
        if (rows) this.addTokens(tensor, rows);
        else this.trained.set(name, { shape, data });
      }
    }
  }

  /** The modules on the layers of the model, where those of gate and up may be two. */
  private storedOf(modules: readonly LoraFactors[]): LoraFactors[] {
    return modules.flatMap((m) => (this.known.has(`${m.path}.weight`) ? [m] : storedModules([m])));
  }

  /** What adapters change of a tensor with all experts; null: nothing, or it is another tensor. */
  private expertsChange(source: SourceTensor): Change | null {
    const names =
      source.parts ??
      (isOfExperts(source.name, this.base.spec) ? partsOf(source.name, this.base.spec) : null);
    if (!names) return null;
    const parts = names.map((name): (() => TensorMerger) | null => {
      const factors = this.factors.get(name);
      if (!factors) return null;
      this.used.add(name);
      const layout = source.isTransposed ? 'by_input' : this.form.layoutOf(factors[0]!);
      return () => new Merger(factors, layout);
    });
    return parts.every((part) => part === null) ? null : { kind: 'experts', source, parts };
  }

  private addTokens({ name, shape, data }: TrainedTensor, rows: readonly number[]): void {
    const own = this.tokens.get(name) ?? new Map<number, Float32Array>();
    const width = shape[1]!;
    rows.forEach((row, i) => {
      if (own.has(row)) {
        throw new LoraError('adapter', `Two adapters have a row of token ${row} in ${name}.`, {
          fix: 'Merge one after the other: the row of the last one stays.',
        });
      }
      own.set(row, data.subarray(i * width, (i + 1) * width));
    });
    this.tokens.set(name, own);
  }

  /** A tensor of the base in the merged model, under the given name. */
  outputOf(source: SourceTensor, name: string): OutputTensor {
    const { file } = source;
    const change = this.changeOf(source);
    const isChanged = change.kind !== 'copied' && change.kind !== 'converted';
    this.used.add(source.name);
    const dtype = this.form.dtypeOf(source, isChanged);
    return { name, file, shape: this.shapeOf(source), dtype, from: source.dtype, change };
  }

  /** A head with other labels has another shape than that of the base. */
  private shapeOf({ name, shape }: SourceTensor): readonly number[] {
    const trained = this.trained.get(name);
    return trained && trained.data.length !== sizeOf(shape) ? trained.shape : shape;
  }

  private changeOf(source: SourceTensor): Change {
    const ofExperts = this.expertsChange(source);
    if (ofExperts) return ofExperts;
    const trained = this.trained.get(source.name);
    const factors = this.factors.get(source.name);
    const rows = this.tokens.get(source.name);
    if ([trained, factors, rows].filter(Boolean).length > 1) {
      throw new LoraError(
        'adapter',
        `${source.name} is trained by one adapter and adapted by another: they cannot be merged together.`,
        { fix: 'Merge one after the other.' },
      );
    }
    if (rows) {
      return { kind: 'tokens', source, rows };
    }
    if (trained) {
      return { kind: 'replaced', data: trained.data };
    }
    if (factors) {
      const layout = this.form.layoutOf(factors[0]!);
      return { kind: 'merged', source, merger: () => new Merger(factors, layout) };
    }
    const { bytes } = source;
    const parts = partsOf(source.name, this.base.spec) ?? [source.name];
    const ignored = !source.parts && !parts.every((part) => this.known.has(part));
    const isSameType = this.form.dtypeOf(source, false) === source.dtype;
    return bytes && isSameType
      ? { kind: 'copied', bytes, ignored }
      : { kind: 'converted', source, ignored };
  }

  /** The base's tensors without that of a tied output layer, which is not read, if it changes. */
  keptTensors({ tensors }: MergeSource): readonly SourceTensor[] {
    const tied = tiedWeight(this.base.spec);
    return tied && this.changes(tied) ? tensors.filter(({ name }) => name !== tied.name) : tensors;
  }

  /** A tied output layer as a tensor of its own, if it or the embedding changes alone. */
  untiedOutput(source: MergeSource): OutputTensor[] {
    const tied = tiedWeight(this.base.spec);
    const embedding = source.tensors.find(({ name }) => name === tied?.storedAs);
    if (!tied || !embedding || !this.changes(tied)) {
      return [];
    }
    if (this.changesAlike(tied)) {
      this.used.add(tied.name);
      return [];
    }
    return [this.outputOf({ ...embedding, name: tied.name }, this.form.nameOf(tied.name))];
  }

  private changes({ name, storedAs }: TiedWeight): boolean {
    return [name, storedAs].some(
      (own) => this.factors.has(own) || this.trained.has(own) || this.tokens.has(own),
    );
  }

  /** Whether the embedding and the output layer have the same numbers after the merge, too. */
  private changesAlike({ name, storedAs }: TiedWeight): boolean {
    // rows of the embedding are also those of the output layer, see TrainedTensor
    if (this.tokens.has(storedAs)) {
      this.refuseBesideTokens(name);
      return true;
    }
    const [output, embedding] = [this.trained.get(name), this.trained.get(storedAs)];
    if (output ?? embedding) {
      return output !== undefined && embedding?.data === output.data;
    }
    const outputFactors = this.factors.get(name) ?? [];
    const embeddingFactors = this.factors.get(storedAs) ?? [];
    return (
      outputFactors.length === embeddingFactors.length &&
      outputFactors.every((m, i) => {
        const other = embeddingFactors[i]!;
        return m.scaling === other.scaling && areTransposed(m, other);
      })
    );
  }

  /** @throws LoraError('adapter') when another adapter changes the output layer alone */
  private refuseBesideTokens(output: string): void {
    if (!this.factors.has(output) && !this.trained.has(output)) return;
    throw new LoraError(
      'adapter',
      `One adapter has rows of tokens, and another changes ${output}, which shares them: they cannot be merged together.`,
      { fix: 'Merge one after the other.' },
    );
  }

  /** Fully trained tensors that the base lacks: a head. */
  addedTensors(source: MergeSource): OutputTensor[] {
    const known = new Set(source.tensors.map(({ name }) => name));
    const tied = tiedWeight(this.base.spec)?.name;
    const file = source.files.at(-1) ?? null;
    const added = [...this.trained].filter(([name]) => !known.has(name) && name !== tied);
    return added.map(([name, { shape, data }]) => {
      this.used.add(name);
      return {
        name: this.form.nameOf(name),
        shape,
        file,
        dtype: this.form.added,
        from: null,
        change: { kind: 'replaced', data },
      };
    });
  }

  /** @throws LoraError('adapter') when the base lacks a tensor that an adapter changes. */
  checkAllUsed(): void {
    const names = [...this.factors.keys(), ...this.trained.keys(), ...this.tokens.keys()];
    const unused = names.find((name) => !this.used.has(name));
    if (unused !== undefined) {
      throw new LoraError(
        'adapter',
        `The adapter changes ${unused}, which the base's files do not contain.`,
        { place: { file: this.base.path }, fix: 'Use the base that the adapter was trained on.' },
      );
    }
  }
}
