import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import type { Range } from './decimate';

/** How charts are drawn, as the user chose. */
export interface ChartChoices {
  /** What is shown of the x axis; null: all. */
  readonly zoom: Range | null;
  /** Weight of the past in the smoothed loss, 0 to 0.99. */
  readonly smoothing: number;
  readonly axis: Axis;
  /** Whether the loss is drawn on a logarithmic axis. */
  readonly logarithmic: boolean;
}

export const MAX_SMOOTHING = 0.99;
