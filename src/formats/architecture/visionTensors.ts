import { elementsOf } from '../tensorInfo';
import { visionTensors } from './modules';
import type { VisionSpec } from './spec';

/** The numbers of a tower's weights. */
export const visionParameters = (vision: VisionSpec): number =>
  visionTensors(vision).reduce((sum, { shape }) => sum + elementsOf(shape), 0);
