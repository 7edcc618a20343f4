import type { BaseDtype } from '../shared/recipe';
import type { Quantize } from '../shared/trainingSettings';
import type { StepPlan } from '../shared/run';
import { KEPT_TYPES, type MemoryFit, type StepReason, type TypeMemory } from '../shared/stepMemory';
import type { MemoryEstimate } from './memory';
import type { ModelSize } from './modelSize';

export interface StepSettings {
  readonly base_dtype: BaseDtype;
  /** Default: null. */
  readonly quantize?: Quantize | null;
  readonly gradient_checkpointing: 'auto' | boolean;
}

export interface StepMachine {
  /** Whether the device that computes supports bf16. */
  readonly hasBf16: boolean;
  /** Whether its processor multiplies bf16 itself, so that bf16 is also faster than f32. */
  readonly multipliesBf16: boolean;
  /** Whether it has the kernels that multiply with quantized weights. */
  readonly hasKernels: boolean;
  /** Bytes of free memory. */
  readonly available: number;
}

export interface PlannedStep {
  readonly plan: StepPlan;
  readonly estimate: MemoryEstimate;
  readonly why: StepReason;
}

/** An estimate may be a tenth too low. */
export const MARGIN = 1.1;

/**
 * The fastest plan that fits into memory; the smallest where none does. bf16 comes first where the
 * processor multiplies it, last where it only saves memory.
 */
export function planStep(
  settings: StepSettings,
  model: Pick<ModelSize, 'num_layers' | 'quantized_bytes'>,
  estimate: (plan: StepPlan) => MemoryEstimate,
  machine: StepMachine,
): PlannedStep {
  const keepsBlocks = machine.hasKernels && model.quantized_bytes !== null;
  const choices = dtypeChoices(settings, machine, keepsBlocks);
  const fastestFirst = choices.flatMap(({ why, ...weights }) =>
    recomputedLayerChoices(settings, model.num_layers).map((recomputed_layers) => ({
      plan: { ...weights, recomputed_layers },
      why,
    })),
  );
  let smallest: PlannedStep | null = null;
  for (const candidate of fastestFirst) {
    const planned = { ...candidate, estimate: estimate(candidate.plan) };
    const { total } = planned.estimate;
    if (total * MARGIN <= machine.available) return planned;
    if (!smallest || total < smallest.estimate.total) smallest = planned;
  }
  return smallest!;
}

/**
 * The memory of a step for each type that a base can be kept in on this machine, and whether it
 * fits: as `planStep` decides it, and with all layers recomputed without its margin.
 *
 * @param only These types of them.
 */
export function stepMemory(
  {
    num_layers,
    quantized_bytes,
    quantizable,
  }: Pick<ModelSize, 'num_layers' | 'quantized_bytes' | 'quantizable'>,
  estimate: (plan: StepPlan) => MemoryEstimate,
  machine: StepMachine,
  only: readonly TypeMemory['base_dtype'][] = KEPT_TYPES,
): TypeMemory[] {
  const whileLoading = (quantize: Quantize): KeptForm | null =>
    machine.hasKernels && quantizable ? { ...inBlocks(machine), quantize } : null;
  const forms: Record<TypeMemory['base_dtype'], KeptForm | null> = {
    float32: { base_dtype: 'float32' },
    bfloat16: machine.hasBf16 ? { base_dtype: 'bfloat16' } : null,
    quantized: machine.hasKernels && quantized_bytes !== null ? inBlocks(machine) : null,
    int8: whileLoading('int8'),
    nf4: whileLoading('nf4'),
  };
  return only.flatMap((base_dtype): TypeMemory[] => {
    const form = forms[base_dtype];
    if (!form) return [];
    const [bytes, recomputed_bytes] = [0, num_layers - 1].map(
      (recomputed_layers) => estimate({ ...form, recomputed_layers }).total,
    ) as [number, number];
    const fit = fitOf({ bytes, recomputed_bytes }, machine.available);
    return [{ base_dtype, bytes, recomputed_bytes, fit }];
  });
}

function fitOf(
  { bytes, recomputed_bytes }: Pick<TypeMemory, 'bytes' | 'recomputed_bytes'>,
  available: number,
): MemoryFit {
  if (bytes * MARGIN <= available) return 'fits';
  return recomputed_bytes <= available ? 'recomputed' : 'exceeds';
}

type KeptForm = Pick<StepPlan, 'base_dtype' | 'quantized' | 'quantize'>;

/** Weights stay quantized, and products use the faster type. */
const inBlocks = ({ hasBf16, multipliesBf16 }: StepMachine): KeptForm => ({
  base_dtype: hasBf16 && multipliesBf16 ? 'bfloat16' : 'float32',
  quantized: true,
});

interface DtypeChoice extends KeptForm {
  readonly why: StepReason;
}

/** With weights that are quantized while they are loaded; base_dtype is the type of products. */
function quantizedChoice(
  base_dtype: BaseDtype,
  quantize: Quantize,
  machine: StepMachine,
): DtypeChoice[] {
  const fastest = inBlocks(machine).base_dtype;
  const asked = base_dtype === 'float32' || base_dtype === 'bfloat16' ? base_dtype : fastest;
  const isRefused = asked === 'bfloat16' && !machine.hasBf16;
  return [
    {
      base_dtype: isRefused ? 'float32' : asked,
      ...(machine.hasKernels && { quantized: true }),
      quantize,
      why: isRefused ? 'refused' : 'asked',
    },
  ];
}

function dtypeChoices(
  { base_dtype, quantize }: StepSettings,
  machine: StepMachine,
  keepsBlocks: boolean,
): DtypeChoice[] {
  const { hasBf16, multipliesBf16 } = machine;
  if (quantize) return quantizedChoice(base_dtype, quantize, machine);
  if (base_dtype === 'quantized') {
    return [
      keepsBlocks
        ? { ...inBlocks(machine), why: 'asked' }
        : { base_dtype: 'float32', why: 'refused' },
    ];
  }
  const ifNothingElseFits: DtypeChoice[] = keepsBlocks
    ? [{ ...inBlocks(machine), why: 'memory' }]
    : [];
  if (base_dtype === 'bfloat16' && !hasBf16) return [{ base_dtype: 'float32', why: 'refused' }];
  if (base_dtype !== 'auto') return [{ base_dtype, why: 'asked' }];
  if (!hasBf16) return [{ base_dtype: 'float32', why: 'plain' }];
  if (multipliesBf16) return [{ base_dtype: 'bfloat16', why: 'processor' }, ...ifNothingElseFits];
  return [
    { base_dtype: 'float32', why: 'plain' },
    { base_dtype: 'bfloat16', why: 'memory' },
    ...ifNothingElseFits,
  ];
}

/**
 * How many layers are recomputed in the backward pass, the fewest first. Never the last layer: its
 * backward pass comes first, so that recomputing it would save nothing.
 */
function recomputedLayerChoices(
  { gradient_checkpointing }: StepSettings,
  num_layers: number,
): number[] {
  if (gradient_checkpointing === 'auto') return Array.from({ length: num_layers }, (_, i) => i);
  return [gradient_checkpointing ? num_layers - 1 : 0];
}
