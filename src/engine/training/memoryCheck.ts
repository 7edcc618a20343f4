import { formatSize } from '../../common/formatSize';
import { availableMemory, freeDiskBytes } from '../../common/system';
import type { MemoryEstimate } from '../../lora/memory';
import type { PlannedStep } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import type { TrainingMethod } from '../../shared/recipe';
import type { StepPlan } from '../../shared/run';
import type { StepReason } from '../../shared/stepMemory';
import { countOf } from '../../shared/values';

/** By this share an estimate may be too high. */
export const ESTIMATE_TOLERANCE = 0.1;
/** Disk space that stays free beside the checkpoints, in bytes. */
const DISK_RESERVE = 10e6;

/**
 * Refuses a training run that clearly needs more memory than is available. The estimate may be a
 * tenth too high.
 *
 * @throws LoraError('memory')
 */
export function checkMemory(
  estimate: MemoryEstimate,
  available: number = availableMemory(),
  method: TrainingMethod = 'lora',
): void {
  if (estimate.total * (1 - ESTIMATE_TOLERANCE) <= available) return;
  const [weights, update] =
    method === 'full'
      ? ['weights', "their gradients and AdamW's state"]
      : ['frozen weights', 'the adapter'];
  throw new LoraError(
    'memory',
    `This training needs about ${formatSize(estimate.total)} of memory, but only ` +
      `${formatSize(available)} is free: ${formatSize(estimate.weights)} for the ${weights}, ` +
      `${formatSize(estimate.activations + estimate.working)} for a batch, ` +
      `${formatSize(trainedBytes(estimate))} for ${update}.`,
    {
      fix: `Use ${method === 'full' ? 'training.method lora' : memorySaver(estimate)}, or close other programs.`,
    },
  );
}

/**
 * "The base is kept in bfloat16, which this processor multiplies natively; 12 of 30 layers are
 * recomputed in the backward pass. A step needs about 1.2 GB of memory."
 */
export function describeStepPlan(
  { plan, estimate, why }: PlannedStep,
  num_layers: number,
  method: TrainingMethod = 'lora',
): string {
  const reasons: Readonly<Record<StepReason, string>> = {
    asked: '',
    refused: '',
    plain: '',
    processor: ', which this processor multiplies natively',
    memory: `, because ${plan.quantized ? plan.base_dtype : 'float32'} would not fit into memory`,
  };
  const recomputed =
    plan.recomputed_layers === 0
      ? ''
      : `; ${plan.recomputed_layers} of ${countOf(num_layers, 'layer')} ${plan.recomputed_layers === 1 ? 'is' : 'are'} recomputed in the backward pass`;
  const kept = method === 'full' ? 'The weights are kept' : 'The base is kept';
  const form = formText(plan);
  const products = plan.quantized ? `; products are computed in ${plan.base_dtype}` : '';
  return (
    `${kept} in ${form}${reasons[why]}${products}${recomputed}. ` +
    `A step needs about ${formatSize(estimate.total)} of memory.`
  );
}

function formText({ base_dtype, quantized, quantize }: StepPlan): string {
  if (!quantize) return quantized ? 'the blocks of its file' : base_dtype;
  return quantized
    ? `${quantize}, to which it is quantized while it is loaded`
    : `${base_dtype}, with the values of ${quantize}, since the kernels for its blocks are missing`;
}

/** Bytes of the adapter, its gradients and its optimizer state. */
const trainedBytes = ({
  adapter,
  gradients,
  optimizer,
}: Pick<MemoryEstimate, 'adapter' | 'gradients' | 'optimizer'>) => adapter + gradients + optimizer;

/** Which setting reduces the largest part. */
function memorySaver({ weights, activations, working, ...parts }: MemoryEstimate): string {
  if (trainedBytes(parts) > Math.max(weights, activations + working))
    return 'a smaller r or fewer target_modules';
  if (weights > activations + working)
    return 'a smaller base model or fewer bits for it (base_dtype, quantize)';
  return 'a smaller max_length or per_device_train_batch_size (with more gradient_accumulation_steps)';
}

/** @throws LoraError('disk') when the folder's disk has less than `bytes` free */
export async function checkDisk(folder: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(folder);
  const needed = bytes + DISK_RESERVE;
  if (free >= needed) return;
  throw new LoraError(
    'disk',
    `The run needs ${formatSize(needed)} of disk space for its checkpoints, but only ${formatSize(free)} is free.`,
    { place: { file: folder }, fix: 'Free some disk space or lower save_total_limit.' },
  );
}
