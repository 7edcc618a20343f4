import { modelSize } from '../../formats/architecture/size';
import { estimateMemory, type ModelSize } from '../../lora/memory';
import { planStep, type StepSettings } from '../../lora/stepPlan';
import { countTrainable, tooHighRank } from '../../lora/count';
import { matchTargets } from '../../lora/targets';
import type { TargetableModule } from '../../lora/adapter';
import type { Task } from '../../shared/task';
import { tasksOf } from '../../formats/architecture/readSpec';
import { openBase, targetableModules } from '../../formats/openBase';
import { formatBytes, formatCount } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { thisMachine } from './machineMemory';
import type { TargetModules } from './targets';

/** A base model as far as costs go; its file is closed again. */
export interface BaseFacts {
  readonly path: string;
  readonly name: string;
  readonly parameters: number;
  readonly size: ModelSize;
  readonly modules: readonly TargetableModule[];
  /** What it can be trained to do. */
  readonly tasks: readonly Task[];
  readonly batch: Batch;
}

/** Reads a base's headers. Errors: LoraError('base') saying why it cannot be trained on. */
export async function readBaseFacts(file: string): Promise<BaseFacts> {
  const base = await openBase(file);
  try {
    return {
      path: base.path,
      name: base.name,
      parameters: base.parameters,
      size: modelSize(base),
      modules: targetableModules(base),
      tasks: tasksOf(base.spec.family),
      batch: BATCHES[base.spec.task],
    };
  } finally {
    await base.close();
  }
}

/** What a choice of rank and targets costs. */
export interface Cost {
  readonly matched: readonly TargetableModule[];
  /** Names that fit no module. */
  readonly unmatched: readonly { readonly name: string; readonly nearest: string | undefined }[];
  readonly trainable: number;
  /** Bytes at the peak of a step, with the recipe's batch size and length. */
  readonly memory: number;
  /** Modules smaller than the rank. */
  readonly tooHigh: number;
}

interface Batch {
  readonly size: number;
  /** Sequences that it makes: a pair is two. */
  readonly rows: number;
  readonly length: number;
}

const batch = (size: number, length: number): Batch => ({ size, rows: size, length });

/** The batch that a recipe written by Train Adapter has. */
export const BATCHES: Readonly<Record<Task, Batch>> = {
  causal_lm: batch(4, 512),
  seq_cls: batch(16, 128),
  token_cls: batch(16, 128),
  image_cls: batch(8, 197),
  embedding: { size: 32, rows: 64, length: 128 },
};

const AUTO: StepSettings = { base_dtype: 'auto', gradient_checkpointing: 'auto' };

/** Errors: LoraError('recipe') for a regular expression that is none. */
export function costOf(
  { modules, size, batch }: BaseFacts,
  r: number,
  target_modules: TargetModules,
  machine = thisMachine(),
): Cost {
  const { matched, unmatched } = matchTargets(modules, { target_modules });
  return {
    matched,
    unmatched,
    trainable: countTrainable(matched, r).trainable,
    memory: planStep(
      AUTO,
      size.num_layers,
      (plan) => estimateMemory(size, { modules: matched, ranks: r }, batch, plan),
      machine,
    ).estimate.total,
    tooHigh: tooHighRank(matched, r).length,
  };
}

/** "442,368 trainable of 134.5 M (0.33 %) · memory 2.1 GiB of 15.4 GiB" */
export function costText(base: BaseFacts, cost: Cost, there: number): string {
  const share = formatNumber(cost.trainable / base.parameters, {
    style: 'percent',
    maximumSignificantDigits: 2,
  });
  return [
    t(
      '{0} trainable of {1} ({2})',
      formatNumber(cost.trainable),
      formatCount(base.parameters),
      share,
    ),
    t('memory {0} of {1}', formatBytes(cost.memory), formatBytes(there)),
  ].join(' · ');
}

/**
 * What the update of one layer has to train: in a square layer 2·d·r against d², where there is
 * none, r·(in + out) against in·out.
 */
export function layerText(matched: readonly TargetableModule[], r: number): string {
  const layer = matched.find((m) => m.in_features === m.out_features) ?? matched[0];
  if (!layer) return '';
  const [update, full] = [
    r * (layer.in_features + layer.out_features),
    layer.in_features * layer.out_features,
  ].map((n) => formatNumber(n));
  return layer.in_features === layer.out_features
    ? t('2·d·r = {0} of d² = {1}', update!, full!)
    : t('r·(in + out) = {0} of in·out = {1}', update!, full!);
}

/** What is wrong with a choice, or null. */
export function costWarning(cost: Cost, r: number, there: number): string | null {
  const [wrong] = cost.unmatched;
  if (wrong)
    return wrong.nearest === undefined
      ? t('No module is named {0}.', wrong.name)
      : t('No module is named {0}. Did you mean {1}?', wrong.name, wrong.nearest);
  if (cost.matched.length === 0) return t('No module matches.');
  if (cost.tooHigh > 0) return t('r = {0} is larger than {1} of the layers.', r, cost.tooHigh);
  return cost.memory > there ? t('This needs more memory than is available.') : null;
}
