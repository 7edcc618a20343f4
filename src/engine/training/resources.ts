import { rowLengthOf } from '../../formats/architecture/positions';
import { modelSize } from '../../formats/architecture/size';
import type { DataStatistics } from '../../data/examples/tokenizeRows';
import type { BaseModel } from '../../formats/baseModel';
import { trainedNumbers, type AdaptedModules } from '../../lora/count';
import {
  estimateFullFineTuning,
  estimateMemory,
  withTeacherLogits,
  type BatchShape,
  type MemoryEstimate,
} from '../../lora/memory';
import { largestBatch, shownImages } from '../../lora/largestBatch';
import { planStep, stepMemory, type PlannedStep, type StepMachine } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import { joinedImages } from '../../shared/imageCounts';
import { distillationOf } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import type { StepPlan } from '../../shared/run';
import type { StepMemory } from '../../shared/stepMemory';
import { checkDisk, checkMemory, describeStepPlan } from './memoryCheck';
import type { AdapterPlan } from './plans/adapterPlan';

/** The machine to plan for, and where to report the plan. */
export interface ResourceHooks {
  readonly info: (message: string) => void;
  /** `key`: that of the recipe which the warning is about. */
  readonly warn: (message: string, key?: string) => void;
  /** The step plan of a resumed run; null: to be chosen for this machine. */
  readonly recordedPlan: StepPlan | null;
  readonly machine: StepMachine;
}

/** What the memory and disk space of a training run depend on. */
export interface ResourceInputs {
  readonly recipe: Recipe;
  readonly base: BaseModel;
  readonly plan: AdapterPlan;
  readonly data: DataSizes;
  readonly runDir: string;
}

/** The number of training examples, the longest ones in tokens, and the most texts of one. */
export interface DataSizes {
  readonly train: { readonly length: number };
  readonly statistics: Readonly<
    Record<
      'train' | 'validation',
      Pick<DataStatistics, 'longest' | 'sequences' | 'labelled_tokens' | 'images'>
    >
  >;
}

/** A trained number in a checkpoint: its value and AdamW's two moments. */
const BYTES_PER_TRAINED_NUMBER = 3 * Float32Array.BYTES_PER_ELEMENT;

/**
 * Chooses how steps are computed on this machine, and reports the choice.
 *
 * @throws LoraError('memory') or LoraError('disk') when there is clearly too little of either
 */
export async function planResources(
  inputs: ResourceInputs,
  hooks: ResourceHooks,
): Promise<StepPlan> {
  const { recipe, base, runDir } = inputs;
  const { method, base_dtype } = recipe.training;
  const { num_layers } = modelSize(base);
  const step = chooseStep(inputs, hooks);
  checkMemory(step.estimate, hooks.machine.available, method);
  if (step.why === 'refused') hooks.warn(refusal(inputs, hooks), 'training.base_dtype');
  if (method === 'full' && (base_dtype === 'bfloat16' || base_dtype === 'quantized'))
    hooks.warn(
      `base_dtype is ${base_dtype}, but trained weights are always float32.`,
      'training.base_dtype',
    );
  hooks.info(describeStepPlan(step, num_layers, method));
  await checkDisk(runDir, checkpointBytes(inputs));
  return step.plan;
}

/** The memory of a step in each type that the base can be kept in; trained weights are float32. */
export function memoryOfSteps(inputs: ResourceInputs, machine: StepMachine): StepMemory {
  const size = modelSize(inputs.base, inputs.plan.trained);
  const { rows, length, images: counted } = batchOf(inputs);
  const images = shownImages(size, counted, 'dataset');
  const only = inputs.recipe.training.method === 'full' ? (['float32'] as const) : undefined;
  return {
    rows,
    length,
    ...(images && { images }),
    available: machine.available,
    types: stepMemory(size, memoryEstimator(inputs), machine, only),
  };
}

function refusal({ base, recipe }: ResourceInputs, { machine }: ResourceHooks): string {
  const { base_dtype } = recipe.training;
  if (base_dtype === 'quantized' && machine.hasKernels)
    return `base_dtype is quantized, but ${base.name} has no quantized weights: float32 is used. "quantize": "nf4" quantizes them while they are loaded.`;
  return `base_dtype is ${base_dtype}, which this runtime does not support: float32 is used.`;
}

function chooseStep(inputs: ResourceInputs, { recordedPlan, machine }: ResourceHooks): PlannedStep {
  const { training } = inputs.recipe;
  const estimate = memoryEstimator(inputs);
  if (recordedPlan) {
    // a run may be resumed on another machine: the numbers are the same
    const { quantized = false, ...others } = recordedPlan;
    if (others.base_dtype === 'bfloat16' && !machine.hasBf16)
      throw new LoraError(
        'runtime',
        'The run computes in bfloat16, which this machine cannot multiply.',
        { fix: 'Resume it on another machine, or start a new run with "base_dtype": "float32".' },
      );
    const plan = quantized && machine.hasKernels ? recordedPlan : others;
    return { plan, estimate: estimate(plan), why: 'asked' };
  }
  const settings: Recipe['training'] =
    training.method === 'full' ? { ...training, base_dtype: 'float32' } : training;
  return planStep(settings, modelSize(inputs.base, inputs.plan.trained), estimate, machine);
}

function memoryEstimator(inputs: ResourceInputs): (plan: StepPlan) => MemoryEstimate {
  const { recipe, base, plan } = inputs;
  const size = modelSize(base, plan.trained);
  const batch = batchOf(inputs);
  const whole = distillationOf(recipe) ? withTeacherLogits : (own: MemoryEstimate) => own;
  if (recipe.training.method === 'full')
    return (step) => whole(estimateFullFineTuning(size, batch, step));
  const adapted = adaptedIn(plan);
  return (step) => whole(estimateMemory(size, adapted, batch, step));
}

const adaptedIn = ({ modules, rankOf: ranks, use_dora, besides }: AdapterPlan): AdaptedModules => ({
  modules,
  ranks,
  use_dora,
  besides,
});

function batchOf({ recipe, data, base }: ResourceInputs): BatchShape {
  const { train, validation } = data.statistics;
  const rows = {
    examples: data.train.length,
    longest: Math.max(train.longest, validation.longest),
    sequences: Math.max(train.sequences, validation.sequences),
    images: joinedImages([train, validation]),
  };
  return largestBatch(recipe, rows, rowLengthOf(base.spec));
}

/** Disk space for the checkpoints that are kept, one more while it is written, and the results. */
function checkpointBytes({ recipe, base, plan }: ResourceInputs): number {
  const { method, save_total_limit } = recipe.training;
  if (method === 'full') return BYTES_PER_TRAINED_NUMBER * base.parameters * (save_total_limit + 2);
  return BYTES_PER_TRAINED_NUMBER * trainedNumbers(adaptedIn(plan)) * (save_total_limit + 3);
}
