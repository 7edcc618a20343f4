import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import type { Range } from './decimate';

/** The user's choices for charts. */
export interface ChartChoices {
  /** The part of the x axis that is shown; null: all of it. */
  readonly zoom: Range | null;
  /** Weight of the past in the smoothed loss, 0 to 0.99. */
  readonly smoothing: number;
  readonly axis: Axis;
  /** Whether the loss is drawn on a logarithmic axis. */
  readonly logarithmic: boolean;
  /** Whether the x axis is logarithmic. */
  readonly logarithmicX: boolean;
}

export const MAX_SMOOTHING = 0.99;
