import type { AdapterTask } from '../../formats/peft/task';
import type { HashedFile } from './certificate';
import type { MergeDtype } from './form';
import type { MergePlan } from './plan';
import type { StreamHooks } from './stream';

/** Where a merged model goes: a folder or a .gguf file. */
export interface MergeTarget {
  readonly plan: MergePlan;
  /** Of the weights. */
  readonly bytes: number;
  /**
   * Writes all of the model but its certificate into a folder that is empty; gives the weight
   * files.
   */
  readonly write: (temp: string, hooks: StreamHooks) => Promise<HashedFile[]>;
  /** What of that folder is the model, and where the certificate goes. */
  readonly modelIn: (temp: string) => string;
  readonly certificateIn: (temp: string) => string;
  /** Runs `fill` in such a folder, and gives what is in it its place. */
  readonly place: (fill: (temp: string) => Promise<void>) => Promise<void>;
  close(): Promise<void>;
}

export interface TargetOptions {
  readonly output: string;
  readonly dtype: MergeDtype;
  /** Of a weight file, in bytes; null: as the base's files are. */
  readonly max_shard_size: number | null;
  readonly labels: AdapterTask['labels'];
  /** The last adapter, which may bring a tokenizer; null: there is none. */
  readonly top: string | null;
  /** A tensor that is left out, as it is the embedding's again. */
  readonly retie: string | null;
}

/** Without the output layer's own tensor where that is tied again. */
export function retied(plan: MergePlan, tensor: string | null): MergePlan {
  return tensor === null
    ? plan
    : { ...plan, tie: true, tensors: plan.tensors.filter(({ name }) => name !== tensor) };
}
