import { createTokenizer, type TokenizerOptions } from '../../data/tokenizer/createTokenizer';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { readAnyAdapter } from '../../formats/adapterFormat';
import type { Spec } from '../../formats/architecture/spec';
import type { FitOptions } from '../../formats/peft/againstBase';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { openModel, type ModelPaths, type OpenOptions } from '../model/openModel';
import type { RuntimeContext } from '../useRuntime';

/** How the models are opened, and what chat templates get. */
interface ServeOptions extends OpenOptions, TokenizerOptions {
  /** Whether the base may also be one for embeddings. */
  readonly embeddings?: boolean;
}

/** The adapters of an answer, by their indices, each with its scale. */
export type AdapterMix = readonly { readonly adapter: number; readonly scale: number }[];

/** A model that answers with one mix of adapters. */
export interface ServedModel {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
}

interface OpenedServedModel extends ServedModel {
  readonly spec: Spec;
  readonly device: string;
  readonly close: () => Promise<void>;
}

/** The base in memory with the adapters that share it. */
interface SharedModel extends OpenedServedModel {
  /** Indices of these adapters among all, in the order of their scales. */
  readonly adapters: readonly number[];
}

/**
 * One base in memory with all adapters loaded side by side, which are switched by their scales. An
 * adapter that cannot share the base (DoRA scales whole weights, others replace some) gets a copy
 * of its own, which is loaded when it is first used.
 */
export class ServedModels {
  private readonly copies = new Map<number, OpenedServedModel>();

  private constructor(
    private readonly paths: ModelPaths,
    private readonly context: RuntimeContext,
    private readonly options: ServeOptions,
    private readonly shared: SharedModel,
  ) {}

  /**
   * Loads the base and the adapters that share it. The caller closes them.
   *
   * @throws LoraError, also when the base cannot generate text
   */
  static async open(
    paths: ModelPaths,
    context: RuntimeContext,
    options: ServeOptions,
  ): Promise<ServedModels> {
    const adapters = await indicesOfSharing(paths, { partial: options.partial });
    const opened = await openServedModel(
      { base: paths.base, adapters: adapters.map((index) => paths.adapters[index]!) },
      context,
      options,
    );
    return new ServedModels(paths, context, options, { ...opened, adapters });
  }

  /** The base's tokenizer. */
  get tokenizer(): Tokenizer {
    return this.shared.tokenizer;
  }

  get spec(): Spec {
    return this.shared.spec;
  }

  /** For the user: "CPU", or "CPU, bf16". */
  get device(): string {
    return this.shared.device;
  }

  /**
   * The model with an adapter (by its index; null: the base alone) at a scale. It is valid until
   * the next call.
   *
   * @throws LoraError
   */
  with(adapter: number | null, scale: number): Promise<ServedModel> {
    return this.mixed(adapter === null ? [] : [{ adapter, scale }]);
  }

  /**
   * The model with the sum of several adapters. It is valid until the next call.
   *
   * @throws LoraError
   */
  async mixed(mix: AdapterMix): Promise<ServedModel> {
    this.checkMix(mix);
    const { adapters: sharing, model } = this.shared;
    const [first] = mix;
    if (first && !sharing.includes(first.adapter)) {
      const copy = await this.copyWith(first.adapter);
      await copy.model.rescale([first.scale]);
      return copy;
    }
    const scaleOf = (index: number) => mix.find(({ adapter }) => adapter === index)?.scale ?? 0;
    await model.rescale(sharing.map(scaleOf));
    return this.shared;
  }

  /** @throws LoraError('usage') unless the base can answer with these adapters at once. */
  checkMix(mix: AdapterMix): void {
    const { adapters } = this.paths;
    const missing = mix.find(({ adapter }) => adapter >= adapters.length);
    if (missing) throw new LoraError('usage', `There is no adapter ${missing.adapter}.`);
    const alone = mix.find(({ adapter }) => !this.shared.adapters.includes(adapter));
    if (!alone || mix.length === 1) return;
    throw new LoraError(
      'usage',
      `${adapters[alone.adapter]!} cannot be mixed with other adapters: it replaces whole weights, or scales them (DoRA).`,
    );
  }

  /** Frees all models and closes their bases. */
  async close(): Promise<void> {
    for (const { close } of [...this.copies.values(), this.shared]) await close();
  }

  private async copyWith(adapter: number): Promise<ServedModel> {
    const existing = this.copies.get(adapter);
    if (existing) return existing;
    const copy = await openServedModel(
      { base: this.paths.base, adapters: [this.paths.adapters[adapter]!] },
      this.context,
      { ...this.options, onProgress: () => undefined },
    );
    this.copies.set(adapter, copy);
    return copy;
  }
}

async function indicesOfSharing(paths: ModelPaths, fit: FitOptions): Promise<readonly number[]> {
  const indices: number[] = [];
  for (const [index, folder] of paths.adapters.entries()) {
    const base = await openBaseUnder(paths.base, folder);
    try {
      const { adapter } = await readAnyAdapter(folder, base, fit);
      const isDora = adapter.modules.some((module) => module.magnitude);
      const isWhole = adapter.trained.length > 0 || base.replaced.size > 0;
      if (!isWhole && !isDora) indices.push(index);
    } finally {
      await base.close();
    }
  }
  return indices;
}

async function openServedModel(
  paths: ModelPaths,
  context: RuntimeContext,
  options: ServeOptions,
): Promise<OpenedServedModel> {
  const { base, model, close, device } = await openModel(paths, context, options);
  try {
    const { spec } = base;
    if (spec.head.kind !== 'lm' && !(options.embeddings && spec.head.kind === 'pooled'))
      throw new LoraError('base', `A model for the task ${spec.task} cannot generate text.`, {
        place: { file: paths.base },
      });
    const tokenizer = createTokenizer(await base.readTokenizer(), options);
    return { model, tokenizer, spec, device, close };
  } catch (error) {
    await close();
    throw error;
  }
}
