import { freemem } from 'node:os';
import { formatSize } from '../../common/formatSize';
import { freeDiskBytes } from '../../common/system';
import type { MemoryEstimate } from '../../lora/memory';
import type { PlannedStep, StepReason } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import type { TrainingMethod } from '../../shared/recipe';

/** Bytes that this process can still have, caches counted as free where the system tells. */
export const availableMemory = (): number =>
  typeof process.availableMemory === 'function' ? process.availableMemory() : freemem();

/**
 * Errors: LoraError('memory') when a step clearly needs more than there is: an estimate off by a
 * tenth does not refuse.
 */
export function checkMemory(
  estimate: MemoryEstimate,
  available: number = availableMemory(),
  method: TrainingMethod = 'lora',
): void {
  if (estimate.total * 0.9 <= available) return;
  const [weights, update] =
    method === 'full'
      ? ['weights', "their gradients and AdamW's state"]
      : ['frozen weights', 'the adapter'];
  throw new LoraError(
    'memory',
    `This training needs about ${formatSize(estimate.total)} of memory, and ${formatSize(available)} are free: ${formatSize(estimate.weights)} for the ${weights}, ${formatSize(
      estimate.activations + estimate.working,
    )} for a batch, ${formatSize(updateOf(estimate))} for ${update}.`,
    {
      fix: `Take ${method === 'full' ? 'training.method lora' : smaller(estimate)}, or close other programs.`,
    },
  );
}

/**
 * "The base is held in bfloat16, which this processor multiplies by itself; 12 of 30 layers are
 * computed again in the backward pass. A step needs about 1.2 GB of memory."
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
    processor: ', which this processor multiplies by itself',
    memory: ', as float32 would not fit into memory',
  };
  const again =
    plan.recomputed_layers === 0
      ? ''
      : `; ${plan.recomputed_layers} of ${num_layers} layers are computed again in the backward pass`;
  return `${method === 'full' ? 'The weights are held' : 'The base is held'} in ${plan.base_dtype}${reasons[why]}${again}. A step needs about ${formatSize(estimate.total)} of memory.`;
}

/** The adapter with all that its training needs. */
const updateOf = ({
  adapter,
  gradients,
  optimizer,
}: Pick<MemoryEstimate, 'adapter' | 'gradients' | 'optimizer'>) => adapter + gradients + optimizer;

/** What the largest part depends on. */
function smaller({ weights, activations, working, ...parts }: MemoryEstimate): string {
  if (updateOf(parts) > Math.max(weights, activations + working))
    return 'a smaller r or fewer target_modules';
  if (weights > activations + working) return 'a smaller base model';
  return 'a smaller per_device_train_batch_size (gradient_accumulation_steps makes up for it) or max_length';
}

/** Errors: LoraError('disk') when the folder's disk has less than `bytes` free. */
export async function checkDisk(folder: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(folder);
  if (free >= bytes + 10e6) return;
  throw new LoraError(
    'disk',
    `The run needs ${formatSize(bytes + 10e6)} for its checkpoints, and ${formatSize(free)} are free.`,
    { place: { file: folder }, fix: 'Free some room or lower save_total_limit.' },
  );
}
