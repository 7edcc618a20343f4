import { layersEstimate, layersTypes } from '../../lora/layersMemory';
import { withBiases } from '../../formats/architecture/trainedBeside';
import {
  countTrainable,
  tooHighRank,
  trainableOf,
  trainedNumbers,
  type AdaptedModules,
} from '../../lora/count';
import {
  estimateFullFineTuning,
  estimateMeasured,
  estimateMemory,
  TEACHER_ROWS,
  withTeacherLogits,
  type MemoryEstimate,
} from '../../lora/memory';
import { shownImages } from '../../lora/largestBatch';
import { planStep, stepMemory, type PlannedStep, type StepMachine } from '../../lora/stepPlan';
import { patternValue } from '../../lora/patterns';
import { kindNames } from '../../lora/selection';
import { type TargetableModule, scalingOf } from '../../lora/adapter';
import type { Figures, RankSettings } from '../../shared/pages/configure/protocol';
import type { StepPlan } from '../../shared/run';
import type { Recipe } from '../../shared/recipe';
import type { Batch } from '../../shared/usualBatch';
import { hostMachine } from '../setup/machineMemory';
import { adaptedIn, type BaseFacts } from '../setup/costs';
import type { DatasetFacts } from '../setup/datasetFacts';
import { batchOf, forecast } from '../setup/forecast';

/** The approximate size of a tensor's entry in a safetensors header. */
const HEADER_BYTES = 150;
const F32 = 4;

/** The settings and the modules whose cost is computed. */
export interface CostChoice {
  readonly settings: RankSettings;
  readonly chosen: readonly TargetableModule[];
  /** Null: the rows are not counted, or cannot be. */
  readonly facts?: DatasetFacts | null;
  /** The model that is learned from, which is freed before training. */
  readonly teacher?: BaseFacts | null;
}

/** The cost of a choice on a machine, as the page shows it. */
export function figuresOf(
  base: BaseFacts,
  recipe: Recipe,
  { settings, chosen: named, facts = null, teacher = null }: CostChoice,
  machine = hostMachine(),
): Figures {
  const { r, lora_alpha, use_rslora, use_dora } = settings;
  const rankOf = (m: TargetableModule) =>
    patternValue(recipe.lora.rank_pattern, m.path, r, 'rank_pattern');
  const adapted = adaptedIn(base, { modules: named, ranks: rankOf, use_dora });
  const { modules: chosen } = adapted;
  const trainable = trainedNumbers(adapted);
  const tensors = chosen.length * (use_dora ? 3 : 2) + tensorsBeside(base, chosen);
  const batch = batchOf(base, recipe, facts);
  const images = base.size && shownImages(base.size, batch.images, batch.images_from ?? 'base');
  return {
    trainable,
    parameters: base.parameters,
    modules: chosen.length,
    tooHigh: tooHighRank(chosen, r).length,
    scaling: scalingOf(r, lora_alpha, use_rslora),
    otherRanks: chosen.filter((m) => rankOf(m) !== r).length,
    fileBytes: trainable * F32 + tensors * HEADER_BYTES,
    ...memoryOf(base, recipe, { adapted, teacher, batch, machine }),
    there: machine.available,
    batch: batch.size,
    length: batch.length,
    images: images ?? null,
    longest: facts?.longest ?? null,
    forecast: facts && forecast({ ...base, teacher }, recipe, facts),
    kinds: kindsOf(base.modules, chosen, rankOf),
  };
}

const tensorsBeside = (
  { besides }: Pick<BaseFacts, 'besides'>,
  chosen: readonly TargetableModule[],
): number => (besides ? withBiases(besides, chosen).tensors : 0);

interface SteppedChoice {
  readonly adapted: AdaptedModules;
  readonly teacher: BaseFacts | null;
  readonly batch: Batch;
  readonly machine: StepMachine;
}

/** The memory of a step, where it is estimated. */
function memoryOf(
  { size, layers }: BaseFacts,
  { training }: Recipe,
  { adapted, teacher, batch, machine }: SteppedChoice,
): Pick<Figures, 'memory' | 'types' | 'full' | 'step'> {
  if (size === null) {
    if (!layers || 'unknown' in layers) return { memory: null, types: [], full: null, step: null };
    const { full } = countTrainable(adapted.modules, adapted.ranks);
    const numbers = trainedNumbers(adapted);
    const memory = layersEstimate(layers, { numbers, adapted: full }, batch.rows);
    const types = layersTypes(memory.total, machine.available);
    return { memory, types, full: null, step: null };
  }
  const whole = teacher ? withTeacherLogits : (own: MemoryEstimate) => own;
  const estimate = (plan: StepPlan) => whole(estimateMemory(size, adapted, batch, plan));
  const planned = planStep(training, size, estimate, machine);
  return {
    memory: largestOf(planned, teacher, batch),
    types: stepMemory(size, estimate, machine),
    full: whole(estimateFullFineTuning(size, batch)),
    step: training.method === 'full' ? null : stepOf(planned, size.num_layers),
  };
}

/** What the plan keeps the base in, and why. */
const stepOf = ({ plan, why }: PlannedStep, layers: number): Figures['step'] => ({
  kept: plan.quantize ?? (plan.quantized ? 'quantized' : plan.base_dtype),
  recomputed: plan.recomputed_layers,
  layers,
  why,
});

/** The memory of a step, or that of the teacher before, if that is larger. */
function largestOf(
  { estimate, plan }: PlannedStep,
  teacher: BaseFacts | null,
  batch: Batch,
): MemoryEstimate {
  if (!teacher?.size) return estimate;
  const before = estimateMeasured(teacher.size, { ...batch, rows: TEACHER_ROWS }, plan);
  return before.total > estimate.total ? before : estimate;
}

function kindsOf(
  modules: readonly TargetableModule[],
  chosen: readonly TargetableModule[],
  rankOf: (m: TargetableModule) => number,
): Figures['kinds'] {
  const kind = kindNames(modules);
  const groups = new Map<string, TargetableModule[]>();
  for (const m of chosen) groups.set(kind(m), [...(groups.get(kind(m)) ?? []), m]);
  return [...groups].map(([name, members]) => ({
    name,
    modules: members.length,
    in_features: members[0]!.in_features,
    out_features: members[0]!.out_features,
    update: trainableOf(members[0]!, rankOf(members[0]!)),
    whole: members[0]!.in_features * members[0]!.out_features,
  }));
}
