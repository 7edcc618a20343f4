import { createTokenizer } from '../../data/tokenizer/createTokenizer';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { readAnyAdapter } from '../../formats/adapterFormat';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { ReadSpecOptions } from '../../formats/architecture/readSpec';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { StepSettings } from '../../lora/stepPlan';
import { loadModel } from '../../models/loadModel';
import type { Model } from '../../models/model';
import { useRuntime, type Context } from '../commands/context';
import { inferenceDtype } from './machine';
import { EMPTY_ADAPTER, createOps, problemOptionsOf } from './backend';
import { labelNamesOf } from '../training/open';
import { described } from '../commands/describe';

export interface LoadedModel {
  readonly base: BaseModel;
  /** What its head tells apart; null for other heads. */
  readonly labels: LabelSet | null;
  readonly model: Model;
}

export interface OpenOptions {
  readonly onProgress?: (fraction: number) => void;
  /** float32 without. */
  readonly base_dtype?: StepSettings['base_dtype'];
}

/**
 * A base with the adapters that are named, each on top of those before it, in memory for as long as
 * `use` takes. The last one may have a head. Errors: LoraError.
 */
export async function withModel<T>(
  basePath: string,
  adapterPaths: readonly string[],
  context: Context,
  use: (loaded: LoadedModel) => Promise<T>,
  options: OpenOptions = {},
): Promise<T> {
  const { close, base, labels, model } = await openModel(basePath, adapterPaths, context, options);
  try {
    return await use({ base, labels, model });
  } finally {
    await close();
  }
}

/** The same, until `close`. */
export async function openModel(
  basePath: string,
  adapterPaths: readonly string[],
  context: Context,
  { onProgress, base_dtype = 'float32' }: OpenOptions = {},
): Promise<LoadedModel & { readonly device: string; readonly close: () => Promise<void> }> {
  const top = adapterPaths.at(-1);
  const trained = top === undefined ? null : await readAdapterTask(top);
  const base = await openBaseUnder(basePath, top ?? null, baseOptionsOf(trained));
  try {
    const adapters: Adapter[] = [];
    for (const folder of adapterPaths) {
      const { adapter, warnings } = await readAnyAdapter(folder, base);
      for (const warning of warnings) context.warn(described(warning));
      adapters.push(adapter);
    }
    const adapter = adapters.pop() ?? null;
    const runtime = await useRuntime(context);
    const ops = await createOps(runtime, context.dist);
    refuseMissingHead(base, adapter);
    const labels = labelSetOf(base, trained);
    const dtype = await inferenceDtype(runtime, base_dtype);
    const model = await loadModel(base, adapter ?? EMPTY_ADAPTER, {
      ops,
      below: adapters,
      base_dtype: dtype,
      ...problemOptionsOf(labels),
      ...(onProgress && { onProgress }),
    });
    return {
      base,
      labels,
      model,
      device: dtype === 'bfloat16' ? `${ops.name}, bf16` : ops.name,
      close: () => {
        model.dispose();
        return base.close();
      },
    };
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** A head with random numbers would answer at random. */
function refuseMissingHead(base: BaseModel, adapter: Adapter | null): void {
  const lacking = base.missing.find(
    (name) => !adapter?.trained.some((tensor) => tensor.name === name),
  );
  if (lacking === undefined) return;
  throw new LoraError('base', `The base has no trained head for ${base.spec.task}.`, {
    place: { file: base.path, tensor: lacking },
    fix: adapter
      ? 'Use an adapter that was saved with its head (modules_to_save).'
      : 'Name an adapter that was trained for it: --adapter DIR.',
  });
}

/** The head that an adapter was trained with, else what the base was made for. */
export function baseOptionsOf(trained: AdapterTask | null): ReadSpecOptions {
  if (!trained) return {};
  return {
    ...(trained.task && { task: trained.task }),
    ...(trained.num_labels !== null && { num_labels: trained.num_labels }),
  };
}

function labelSetOf(base: BaseModel, trained: AdapterTask | null): LabelSet | null {
  const { head } = base.spec;
  if (head.kind !== 'labels') return null;
  const names =
    labelNamesOf(base) ?? Array.from({ length: head.output.out_features }, (_, i) => String(i));
  return trained?.labels ?? { problem_type: 'single_label_classification', names };
}

/** Errors: LoraError('tokenizer') where the base has none. */
export const loadTokenizer = async (base: BaseModel): Promise<Tokenizer> =>
  createTokenizer(await base.readTokenizer());
