import type { ConfigReader } from './config';
import type { Task } from '../../shared/task';
import type { Spec } from './spec';

/** What is to be done with a model, where that is not plain from its config. */
export interface SpecOptions {
  readonly task: Task;
  readonly num_labels: number;
}

/**
 * A checkpoint's name -> the module's in current transformers; null: a buffer, which is no weight.
 */
export type Rename = readonly [from: RegExp, to: string | null];

/** One entry of the architecture table. */
export interface Family {
  readonly tasks: readonly Task[];
  readonly spec: (reader: ConfigReader, options: SpecOptions) => Spec;
  readonly renames: readonly Rename[];
}
