import { rowImagesOf } from '../../data/dataset/prepare';
import type { RowImages } from '../../data/examples/rowImages';
import { openChatImages, type ChatImages } from '../../data/images/chatImages';
import { createTokenizer, type TokenizerOptions } from '../../data/tokenizer/createTokenizer';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { readAnyAdapter } from '../../formats/adapterFormat';
import type { Spec } from '../../formats/architecture/spec';
import type { BaseModel } from '../../formats/baseModel';
import type { FitOptions } from '../../formats/peft/againstBase';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { baseOptionsOf, openModel, type ModelPaths, type OpenOptions } from '../model/openModel';
import type { RuntimeContext } from '../useRuntime';

/** How the models are opened, and what chat templates get. */
interface ServeOptions extends OpenOptions, TokenizerOptions {
  /** The allowed purposes of models; by default only text. */
  readonly purposes?: readonly Purpose[];
}

/**
 * The purpose of a model: it writes text, gives embeddings, rates documents, names classes, or
 * compares images with texts.
 */
export type Purpose = 'text' | 'embedding' | 'rating' | 'classes' | 'images';

const purposeOf = ({ head }: Spec): Purpose => {
  if (head.kind === 'lm') return 'text';
  if (head.kind === 'pooled') return 'embedding';
  if (head.kind !== 'labels') return 'images';
  return head.pool !== 'none' && head.output.out_features === 1 ? 'rating' : 'classes';
};

/** The adapters of an answer, by their indices, each with its scale. */
export type AdapterMix = readonly { readonly adapter: number; readonly scale: number }[];

/** A model that answers with one mix of adapters. */
export interface ServedModel {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly base: BaseModel;
  /** Reads the images of chats; null: the base reads none. */
  readonly images: ChatImages | null;
}

interface OpenedServedModel extends ServedModel {
  readonly device: string;
  readonly close: () => Promise<void>;
}

/** The base in memory with the adapters that share it. */
interface SharedModel extends OpenedServedModel {
  /** Indices of these adapters among all, in the order of their scales. */
  readonly adapters: readonly number[];
  /** What the other adapters make of the base. */
  readonly others: ReadonlyMap<number, Purpose>;
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
   * @throws LoraError, including when neither the base nor an adapter is for one of `purposes`
   */
  static async open(
    paths: ModelPaths,
    context: RuntimeContext,
    options: ServeOptions,
  ): Promise<ServedModels> {
    const others = await purposesOfOthers(paths, { partial: options.partial });
    const adapters = [...paths.adapters.keys()].filter((index) => !others.has(index));
    const { purposes = ['text'] } = options;
    const isOfUse = [...others.values()].some((own) => purposes.includes(own));
    const opened = await openServedModel(
      { base: paths.base, adapters: adapters.map((index) => paths.adapters[index]!) },
      context,
      { ...options, purposes: isOfUse ? [...purposes, 'classes'] : purposes },
    );
    return new ServedModels(paths, context, options, { ...opened, adapters, others });
  }

  /** The base's tokenizer. */
  get tokenizer(): Tokenizer {
    return this.shared.tokenizer;
  }

  /** Of an encoder-decoder the token that its answers begin with; null: another kind of model. */
  get start_id(): number | null {
    return this.shared.base.spec.source?.start_id ?? null;
  }

  /** What reads images in chats: of requests, which have no folder. */
  get rowImages(): RowImages {
    const { images, base } = this.shared;
    return rowImagesOf('', { chat_images: images, family: base.spec.family });
  }

  /** The purpose of the model with these adapters. */
  purposeOf([first]: AdapterMix): Purpose {
    const { others, base } = this.shared;
    return (first && others.get(first.adapter)) ?? purposeOf(base.spec);
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

/** What the adapters that cannot share the base make of it, by their indices. */
async function purposesOfOthers(
  paths: ModelPaths,
  fit: FitOptions,
): Promise<ReadonlyMap<number, Purpose>> {
  const purposes = new Map<number, Purpose>();
  for (const [index, folder] of paths.adapters.entries()) {
    const trained = baseOptionsOf(await readAdapterTask(folder));
    const base = await openBaseUnder(paths.base, folder, trained);
    try {
      const { adapter } = await readAnyAdapter(folder, base, fit);
      const isDora = adapter.modules.some((module) => module.magnitude);
      const isWhole = adapter.trained.length > 0 || base.replaced.size > 0;
      if (isWhole || isDora) purposes.set(index, purposeOf(base.spec));
    } finally {
      await base.close();
    }
  }
  return purposes;
}

async function openServedModel(
  paths: ModelPaths,
  context: RuntimeContext,
  options: ServeOptions,
): Promise<OpenedServedModel> {
  const { base, model, close, device } = await openModel(paths, context, options);
  try {
    const { task, embedding } = base.spec;
    const { purposes = ['text'] } = options;
    if (embedding.kind !== 'tokens' || !purposes.includes(purposeOf(base.spec)))
      throw new LoraError(
        'base',
        `A model for the task ${task} cannot ${purposes.length > 1 ? 'be served' : 'generate text'}.`,
        { place: { file: paths.base } },
      );
    const tokenizer = createTokenizer(await base.readTokenizer(), options);
    const images = await openChatImages(base);
    return { model, tokenizer, base, images, device, close };
  } catch (error) {
    await close();
    throw error;
  }
}
