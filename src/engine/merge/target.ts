import type { AdapterTask } from '../../formats/peft/task';
import type { StoredWeights } from '../../shared/mergeFacts';
import type { HashedFile } from './certificate';
import type { MergeDtype } from './form';
import type { MergePlan } from './plan';
import type { TensorFacts } from './roundingFacts';
import type { StreamHooks } from './stream';

/** A merged model that is about to be written: a folder or a .gguf file. */
export interface MergeTarget {
  readonly plan: MergePlan;
  /** The size of the weights in bytes. */
  readonly bytes: number;
  /** How the weights are stored. */
  readonly stored: readonly StoredWeights[];
  /** Writes the model without its certificate into an empty folder. Returns the weight files. */
  readonly write: (temp: string, hooks: StreamHooks) => Promise<HashedFile[]>;
  /** The model inside such a folder. */
  readonly modelIn: (temp: string) => string;
  /** The place of the certificate inside such a folder. */
  readonly certificateIn: (temp: string) => string;
  /** Runs `fill` with an empty folder, then moves what it wrote to the output. */
  readonly place: (fill: (temp: string) => Promise<void>) => Promise<void>;
  /** Closes the files of the base. */
  close(): Promise<void>;
}

/** How a merged model is written. */
export interface TargetOptions {
  readonly output: string;
  readonly dtype: MergeDtype;
  /** The largest size of a weight file in bytes; null keeps the base's distribution. */
  readonly max_shard_size: number | null;
  readonly labels: AdapterTask['labels'];
  /** The last adapter's folder, which may have a tokenizer of its own; null if there is none. */
  readonly top: string | null;
  /** The output layer's tensor to leave out, so that it is tied to the embedding again. */
  readonly retie: string | null;
}

/** Disk space for everything but the weights. */
export const SMALL_FILES_BYTES = 64e6;

/** Writes a target and collects what was done to each tensor. */
export async function writeWithProgress(
  target: MergeTarget,
  temp: string,
  {
    onProgress,
    ...hooks
  }: Pick<StreamHooks, 'signal' | 'file' | 'kernel'> & {
    readonly onProgress: (fraction: number) => void;
  },
): Promise<{ readonly outputs: readonly HashedFile[]; readonly tensors: readonly TensorFacts[] }> {
  const tensors: TensorFacts[] = [];
  let written = 0;
  const outputs = await target.write(temp, {
    ...hooks,
    onTensor: (facts) => tensors.push(facts),
    onBytes: (bytes) => {
      written += bytes;
      onProgress(written / target.bytes);
    },
  });
  return { outputs, tensors };
}

/** The plan without the output layer's own tensor, if that is tied to the embedding again. */
export function withTiedOutput(plan: MergePlan, outputTensor: string | null): MergePlan {
  if (outputTensor === null) {
    return plan;
  }
  const tensors = plan.tensors.filter(({ name }) => name !== outputTensor);
  return { ...plan, tie: true, tensors };
}
