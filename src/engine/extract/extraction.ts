import type { ResizeTarget } from '../../lora/resize';
import type { LeftOut } from './difference';
import type { DifferentSetting } from './settings';

/** What to extract, and where to. */
export interface ExtractOptions {
  readonly base: string;
  /** The fine-tuned model. */
  readonly tuned: string;
  readonly output: string;
  readonly target: ResizeTarget;
  readonly target_modules: string | readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

/** An extracted adapter, and what it lacks of the fine-tuned model. */
export interface Extracted {
  readonly modules: readonly {
    readonly path: string;
    readonly r: number;
    /** Relative error of the module's update. */
    readonly error: number;
  }[];
  /** ‖dW - BA‖ / ‖dW‖ over all adapted modules. */
  readonly error: number;
  /** Tensors that differ and are not part of the adapter, largest difference first. */
  readonly left_out: readonly LeftOut[];
  /** Settings of the models that differ, which the adapter cannot hold either. */
  readonly settings: readonly DifferentSetting[];
}
