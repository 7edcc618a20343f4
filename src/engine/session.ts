import { createTokenizer } from '../data/tokenizer';
import type { Tokenizer } from '../data/types';
import { openBase } from '../formats/base';
import { adapterBaseOf } from '../formats/peft/againstBase';
import { readPeftAdapter } from '../formats/peft/read';
import type { BaseModel } from '../formats/types';
import type { Adapter } from '../lora/types';
import { loadModel } from '../models/model';
import type { Model } from '../models/types';
import { useRuntime, type Context } from './commands/context';
import { EMPTY_ADAPTER, opsFor } from './model';
import { described } from './words';

export interface Loaded {
  readonly base: BaseModel;
  readonly adapter: Adapter | null;
  readonly model: Model;
}

/** A base with an adapter, if one is named, in memory for as long as `use` takes. Errors: LoraError. */
export async function withModel<T>(basePath: string, adapterPath: string | undefined, context: Context, use: (loaded: Loaded) => Promise<T>): Promise<T> {
  const base = await openBase(basePath);
  try {
    const read = adapterPath === undefined ? null : await readPeftAdapter(adapterPath, adapterBaseOf(base));
    for (const warning of read?.warnings ?? []) context.warn(described(warning));
    const ops = await opsFor(await useRuntime(context), context.dist);
    const model = await loadModel(base, read?.adapter ?? EMPTY_ADAPTER, { ops });
    try {
      return await use({ base, adapter: read?.adapter ?? null, model });
    } finally {
      model.dispose();
    }
  } finally {
    await base.close();
  }
}

/** Errors: LoraError('tokenizer') where the base has none. */
export const tokenizerOf = async (base: BaseModel): Promise<Tokenizer> => createTokenizer(await base.readTokenizer());
