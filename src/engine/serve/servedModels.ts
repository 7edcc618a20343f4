import { createTokenizer } from '../../data/tokenizer/createTokenizer';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { readAnyAdapter } from '../../formats/adapterFormat';
import { openBase } from '../../formats/base';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { Context } from '../commands/context';
import { openModel, type OpenOptions } from '../model/openModel';

/** A model that answers as the base with one adapter, so many times, does. */
export interface ServedModel {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
}

interface Opened extends ServedModel {
  readonly device: string;
  readonly close: () => Promise<void>;
}

/**
 * One base in memory with all of its adapters side by side, switched by their scales. An adapter
 * that cannot share it (DoRA scales whole weights, and others replace some) has a copy of its own,
 * read when it is first asked.
 */
export class ServedModels {
  private readonly own = new Map<number, Opened>();

  private constructor(
    private readonly basePath: string,
    private readonly adapterPaths: readonly string[],
    private readonly context: Context,
    private readonly options: OpenOptions,
    private readonly shared: Opened,
    /** Places of those that share the base, in the order in which they lie on it. */ private readonly sharing: readonly number[],
  ) {}

  /** Errors: LoraError, also where the base does not write text. */
  static async open(
    basePath: string,
    adapterPaths: readonly string[],
    context: Context,
    options: OpenOptions,
  ): Promise<ServedModels> {
    const sharing = await sharingOf(basePath, adapterPaths);
    const shared = await openOne(
      basePath,
      sharing.map((place) => adapterPaths[place]!),
      context,
      options,
    );
    return new ServedModels(basePath, adapterPaths, context, options, shared, sharing);
  }

  get tokenizer(): Tokenizer {
    return this.shared.tokenizer;
  }

  get device(): string {
    return this.shared.device;
  }

  /** Ready to answer, until the next is asked for. Errors: LoraError. */
  async with(adapter: number | null, scale: number): Promise<ServedModel> {
    if (adapter !== null && adapter >= this.adapterPaths.length)
      throw new LoraError('usage', `There is no adapter ${adapter}.`);
    if (adapter === null || this.sharing.includes(adapter)) {
      await this.shared.model.rescale(this.sharing.map((place) => (place === adapter ? scale : 0)));
      return this.shared;
    }
    const own =
      this.own.get(adapter) ??
      (await openOne(this.basePath, [this.adapterPaths[adapter]!], this.context, {
        ...this.options,
        onProgress: () => undefined,
      }));
    this.own.set(adapter, own);
    await own.model.rescale([scale]);
    return own;
  }

  async close(): Promise<void> {
    for (const { close } of [...this.own.values(), this.shared]) await close();
  }
}

async function sharingOf(
  basePath: string,
  adapterPaths: readonly string[],
): Promise<readonly number[]> {
  const base = await openBase(basePath);
  try {
    const places: number[] = [];
    for (const [place, folder] of adapterPaths.entries()) {
      const { adapter } = await readAnyAdapter(folder, base);
      if (adapter.trained.length === 0 && !adapter.modules.some((m) => m.magnitude))
        places.push(place);
    }
    return places;
  } finally {
    await base.close();
  }
}

async function openOne(
  basePath: string,
  adapterPaths: readonly string[],
  context: Context,
  options: OpenOptions,
): Promise<Opened> {
  const { base, model, close, device } = await openModel(basePath, adapterPaths, context, options);
  try {
    if (base.spec.head.kind !== 'lm')
      throw new LoraError('base', `A model for the task ${base.spec.task} does not write text.`, {
        place: { file: basePath },
      });
    return { model, tokenizer: createTokenizer(await base.readTokenizer()), device, close };
  } catch (error) {
    await close();
    throw error;
  }
}
