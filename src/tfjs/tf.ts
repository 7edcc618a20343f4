import type * as tfjs from '@tensorflow/tfjs';

/** What is used of tfjs. The engine has its own copy, users of the library theirs. */
export type Tf = typeof tfjs;
export type {
  LayerVariable,
  LayersModel,
  SymbolicTensor,
  Tensor,
  Variable,
} from '@tensorflow/tfjs';
