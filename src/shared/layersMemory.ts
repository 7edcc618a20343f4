/** Bytes of each part at the peak of a training step of a layers model. */
export interface LayersMemoryParts {
  /** Rows of a batch. */
  readonly rows: number;
  readonly weights: number;
  /** What trains, its gradients and AdamW's two moments, and the kernels with their updates. */
  readonly trained: number;
  /** What the tape keeps of a batch, and the gradients of that. */
  readonly activations: number;
  /** The process itself. */
  readonly process: number;
  readonly total: number;
}

/** An estimate, or the name of the layer whose shapes are not known. */
export type LayersMemory = LayersMemoryParts | { readonly unknown: string };
