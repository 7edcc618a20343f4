import type { TrainingMethod } from '../../../shared/recipe';

/** How far the training is that made it. */
export interface ProductFacts {
  readonly steps: number;
  readonly last_loss: number | null;
  readonly validation_loss: number | null;
}

/** What a training makes: an adapter, or a model of its own. */
export interface Product {
  readonly kind: ProductKind;
  /** Errors: LoraError('run') where the last step has made it useless. */
  check(facts: ProductFacts): Promise<void>;
  /** Its part of a checkpoint, into a folder that exists. */
  fillCheckpoint(folder: string, facts: ProductFacts): Promise<void>;
  /** Writes it as a folder that others can use, whole or not at all. */
  write(folder: string, facts: ProductFacts): Promise<void>;
}

export type ProductKind = 'adapter' | 'model';

export const productOf = (method: TrainingMethod): ProductKind =>
  method === 'full' ? 'model' : 'adapter';
