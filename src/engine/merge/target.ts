import type { HashedFile } from './certificate';
import type { MergePlan } from './plan';
import type { StreamHooks } from './stream';

/** Where a merged model goes: a folder or a .gguf file. */
export interface MergeTarget {
  readonly plan: MergePlan;
  /** Of the weights. */
  readonly bytes: number;
  /** Writes all of the model but its certificate into a folder that is empty; gives the weight files. */
  readonly write: (temp: string, hooks: StreamHooks) => Promise<HashedFile[]>;
  /** What of that folder is the model, and where the certificate goes. */
  readonly modelIn: (temp: string) => string;
  readonly certificateIn: (temp: string) => string;
  /** Runs `fill` in such a folder, and gives what is in it its place. */
  readonly place: (fill: (temp: string) => Promise<void>) => Promise<void>;
  close(): Promise<void>;
}
