import type { TrainingMethod } from '../../../shared/recipe';

/** The state of the training that made a product. */
export interface ProductFacts {
  readonly steps: number;
  readonly last_loss: number | null;
  readonly validation_loss: number | null;
}

/** The result of a training run: an adapter, or a complete model. */
export interface Product {
  readonly kind: ProductKind;
  /**
   * The subject of a sentence that names what is no longer finite; null if all weights are finite.
   */
  findNonFinite(): Promise<string | null>;
  /** Writes the weights of a checkpoint into an existing folder. @throws LoraError('disk') */
  fillCheckpoint(folder: string, facts: ProductFacts): Promise<void>;
  /** Writes the final folder, completely or not at all. @throws LoraError('disk') */
  write(folder: string, facts: ProductFacts): Promise<void>;
}

/** Also the name of the product's folder within the run's. */
export type ProductKind = 'adapter' | 'model';

/** The kind of product that a training method makes. */
export const productOf = (method: TrainingMethod): ProductKind =>
  method === 'full' ? 'model' : 'adapter';
