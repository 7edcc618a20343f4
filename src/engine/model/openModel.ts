import { createTokenizer, type TokenizerOptions } from '../../data/tokenizer/createTokenizer';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import { openBaseUnder, refuseReplacements } from '../../formats/peft/vocabulary';
import { modelSize } from '../../formats/architecture/size';
import type { ReadSpecOptions } from '../../formats/architecture/readSpec';
import type { BaseModel } from '../../formats/baseModel';
import type { QuantizeOptions } from '../../formats/quantized/whileLoading';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { Products } from '../../shared/products';
import type { StepSettings } from '../../lora/stepPlan';
import { loadModel } from '../../models/loadModel';
import type { Model } from '../../models/model';
import { readAdapters } from '../adapters/readAdapters';
import { useRuntime, type RuntimeContext } from '../useRuntime';
import type { LoadedForm } from '../../lora/memory';
import { inferenceForm } from './machine';
import { EMPTY_ADAPTER, createOps } from './backend';
import { modelLabels, lossOptionsOf } from './labels';

/** A base with adapters in memory. */
export interface LoadedModel {
  readonly base: BaseModel;
  /** Labels of a classification or regression head; null for other heads. */
  readonly labels: LabelSet | null;
  readonly model: Model;
}

/** A loaded model with its device. `close` frees the model and closes the base. */
export interface OpenedModel extends LoadedModel {
  /** For the user: "CPU", "CPU, bf16" or "CPU, bf16, quantized". */
  readonly device: string;
  readonly close: () => Promise<void>;
}

/** A base, and the adapters that are stacked on it in this order. */
export interface ModelPaths {
  readonly base: string;
  /** Only the last one may have a head. */
  readonly adapters: readonly string[];
}

/** How to open it. */
export interface OpenOptions {
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** float32 by default. */
  readonly base_dtype?: StepSettings['base_dtype'];
  /** Quantize the base as a training run did. Default: it is as it is stored. */
  readonly quantize?: QuantizeOptions | null;
  /** Of answers. rounded: a quantized file stays in its blocks where base_dtype is auto. */
  readonly products?: Products;
  /** Leave out the modules of adapters that do not fit the base; false: offer it. */
  readonly partial?: boolean;
}

/** Calls `use` with a loaded model and closes it afterwards. @throws LoraError */
export async function withModel<T>(
  paths: ModelPaths,
  context: RuntimeContext,
  options: OpenOptions,
  use: (loaded: LoadedModel) => Promise<T>,
): Promise<T> {
  const opened = await openModel(paths, context, options);
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

/** Loads a model; the caller closes it. @throws LoraError */
export async function openModel(
  paths: ModelPaths,
  context: RuntimeContext,
  {
    onProgress,
    base_dtype = 'float32',
    quantize = null,
    partial,
    products = 'exact',
  }: OpenOptions = {},
): Promise<OpenedModel> {
  const top = paths.adapters.at(-1);
  const trained = top === undefined ? null : await readAdapterTask(top);
  const base = await openBaseUnder(paths.base, top ?? null, {
    ...baseOptionsOf(trained),
    quantize,
  });
  try {
    for (const folder of paths.adapters.slice(0, -1)) await refuseReplacements(folder, base);
    const adapters = await readAdapters(paths.adapters, base, { warn: context.warn, partial });
    const adapter = adapters.pop() ?? null;
    const runtime = await useRuntime(context);
    const ops = await createOps(runtime, context.dist);
    refuseMissingHead(base, adapter);
    const labels = modelLabels(base, trained);
    const asked = base_dtype === 'auto' && products === 'rounded' ? 'fast' : base_dtype;
    const form = await inferenceForm(runtime, asked, modelSize(base), quantize !== null);
    warnOfOtherForm(base_dtype, form, context);
    const model = await loadModel(base, adapter ?? EMPTY_ADAPTER, {
      ops,
      below: adapters,
      ...form,
      ...lossOptionsOf(labels),
      ...(onProgress && { onProgress }),
    });
    return {
      base,
      labels,
      model,
      device: deviceText(ops.name, form, products),
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

/** Says that the base is kept otherwise than asked. */
function warnOfOtherForm(
  asked: StepSettings['base_dtype'],
  { base_dtype, quantized }: LoadedForm,
  { warn }: Pick<RuntimeContext, 'warn'>,
): void {
  if (asked === 'quantized' && !quantized)
    warn('The base is not kept quantized: that needs a quantized base and the CPU.');
  if (asked === 'bfloat16' && base_dtype !== 'bfloat16')
    warn('base_dtype is bfloat16, which this runtime does not support: float32 is used.');
}

const deviceText = (
  device: string,
  { base_dtype, quantized }: LoadedForm,
  products: Products,
): string =>
  [
    device,
    ...(base_dtype === 'bfloat16' ? ['bf16'] : []),
    ...(quantized ? ['quantized'] : []),
    ...(quantized && products === 'rounded' ? ['rounded products'] : []),
  ].join(', ');

/** Without a trained head the answers would be random. @throws LoraError('base') */
function refuseMissingHead(base: BaseModel, adapter: Adapter | null): void {
  const missing = base.missing.find(
    (name) => !adapter?.trained.some((tensor) => tensor.name === name),
  );
  if (missing === undefined) return;
  throw new LoraError('base', `The base has no trained head for ${base.spec.task}.`, {
    place: { file: base.path, tensor: missing },
    fix: adapter
      ? 'Use an adapter that contains its head (modules_to_save).'
      : 'Add an adapter that was trained for this task (--adapter).',
  });
}

/** Options that open a base with the head that an adapter was trained with. */
export function baseOptionsOf(trained: AdapterTask | null): ReadSpecOptions {
  if (!trained) return {};
  return {
    ...(trained.task && { task: trained.task }),
    ...(trained.num_labels !== null && { num_labels: trained.num_labels }),
  };
}

/** The tokenizer of a base. @throws LoraError('tokenizer') when it has none */
export const loadTokenizer = async (
  base: BaseModel,
  options?: TokenizerOptions,
): Promise<Tokenizer> => createTokenizer(await base.readTokenizer(), options);
