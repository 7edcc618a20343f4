import { tiedWeight } from '../../formats/architecture/modules';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import type { Layout } from '../../lora/merge';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { OutputForm } from './form';
import type { MergeSource, SourceTensor } from './source';

/** A tensor of the merged model. */
export interface OutputTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The base's file that it comes from. */
  readonly file: string | null;
  readonly change: Change;
}

export type Change =
  /** Byte for byte. */
  | { readonly kind: 'copied'; readonly bytes: () => AsyncIterable<Uint8Array> }
  /** The same numbers in another dtype. */
  | { readonly kind: 'converted'; readonly source: SourceTensor }
  | {
      readonly kind: 'merged';
      readonly source: SourceTensor;
      readonly factors: readonly LoraFactors[];
      readonly layout: Layout;
    }
  /** What the adapter trained whole. */
  | { readonly kind: 'replaced'; readonly data: Float32Array };

export interface MergePlan {
  readonly tensors: readonly OutputTensor[];
  /**
   * What becomes of the tie of output layer and embedding: false where the output layer is a tensor
   * of its own now, as both would change otherwise; true where it is the embedding again; null
   * where nothing changes.
   */
  readonly tie: boolean | null;
  /** Names in current transformers, since a new head stands beside the body. */
  readonly renamed: boolean;
}

/**
 * What becomes of each tensor. Errors: LoraError where an adapter changes what cannot be changed.
 */
export function planMerge(
  base: BaseModel,
  source: MergeSource,
  adapters: readonly Adapter[],
  form: OutputForm,
): MergePlan {
  const changes = new Changes(base, adapters, form);
  const untied = changes.untied(source);
  const added = changes.added(source);
  const renamed = added.length > 0 && base.format !== 'gguf';
  const own = source.tensors.map((tensor) =>
    changes.of(tensor, renamed ? tensor.name : tensor.stored),
  );
  changes.checkAllUsed();
  return { tensors: [...own, ...untied, ...added], tie: untied.length > 0 ? false : null, renamed };
}

class Changes {
  private readonly factors = new Map<string, LoraFactors[]>();
  private readonly trained = new Map<
    string,
    { readonly shape: readonly number[]; readonly data: Float32Array }
  >();
  private readonly used = new Set<string>();

  constructor(
    private readonly base: BaseModel,
    adapters: readonly Adapter[],
    private readonly form: OutputForm,
  ) {
    for (const { modules, trained } of adapters) {
      for (const m of modules)
        this.factors.set(`${m.path}.weight`, [...(this.factors.get(`${m.path}.weight`) ?? []), m]);
      for (const { name, shape, data } of trained) this.trained.set(name, { shape, data });
    }
  }

  of(source: SourceTensor, name: string): OutputTensor {
    const { file, shape } = source;
    const out = (change: Change) => ({
      name,
      file,
      shape,
      dtype: this.form.dtypeOf(source, change.kind !== 'copied' && change.kind !== 'converted'),
      change,
    });
    const trained = this.trained.get(source.name);
    const factors = this.factors.get(source.name);
    this.used.add(source.name);
    if (trained && factors)
      throw new LoraError(
        'adapter',
        `${source.name} is trained whole by one adapter and adapted by another: they cannot be merged together.`,
        { fix: 'Merge one after the other.' },
      );
    if (trained) return out({ kind: 'replaced', data: trained.data });
    if (factors)
      return out({ kind: 'merged', source, factors, layout: this.form.layoutOf(factors[0]!) });
    const isSame = source.bytes !== null && this.form.dtypeOf(source, false) === source.dtype;
    return out(isSame ? { kind: 'copied', bytes: source.bytes } : { kind: 'converted', source });
  }

  /** A tied output layer that must not change with the embedding, or not the embedding with it. */
  untied(source: MergeSource): OutputTensor[] {
    const tied = tiedWeight(this.base.spec);
    if (!tied) return [];
    const touched = [tied.name, tied.storedAs].some(
      (name) => this.factors.has(name) || this.trained.has(name),
    );
    const embedding = source.tensors.find(({ name }) => name === tied.storedAs);
    if (!touched || !embedding || source.tensors.some(({ name }) => name === tied.name)) return [];
    this.used.add(tied.name);
    const change = this.of({ ...embedding, name: tied.name }, this.form.nameOf(tied.name));
    return [change];
  }

  /** A head that the base lacks. */
  added(source: MergeSource): OutputTensor[] {
    const known = new Set(source.tensors.map(({ name }) => name));
    const tied = tiedWeight(this.base.spec)?.name;
    const file = source.files.at(-1) ?? null;
    return [...this.trained]
      .filter(([name]) => !known.has(name) && name !== tied)
      .map(([name, { shape, data }]) => {
        this.used.add(name);
        return {
          name: this.form.nameOf(name),
          shape,
          file,
          dtype: this.form.added,
          change: { kind: 'replaced', data },
        };
      });
  }

  checkAllUsed(): void {
    const lost = [...this.factors.keys(), ...this.trained.keys()].find(
      (name) => !this.used.has(name),
    );
    if (lost !== undefined)
      throw new LoraError(
        'adapter',
        `The adapter changes ${lost}, which the base's files do not hold.`,
        { place: { file: this.base.path }, fix: 'Use the base that the adapter was trained on.' },
      );
  }
}
