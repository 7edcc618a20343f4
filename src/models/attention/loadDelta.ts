import type { AttentionSpec, ConvolutionSpec, DeltaSpec } from '../../formats/architecture/spec';
import type { Linear } from '../layers/linear';
import { allRows, type LinearRows } from '../productRows';
import type { DenseWeight } from '../weightTensor';
import type { Convolution } from './convolution';
import type { DeltaWeights } from './deltaBranch';

/** The part of the weight loader that it needs. */
interface Loader {
  readonly linear: (parts: readonly LinearRows[]) => Promise<Linear>;
  readonly convolution: (spec: ConvolutionSpec) => Promise<Convolution>;
  readonly frozenParameter: (name: string) => Promise<DenseWeight>;
}

/** The layers of the gated delta rule, whose own parameters are frozen beside LoRA. */
export async function loadDelta(
  loader: Loader,
  { qkv, o }: AttentionSpec,
  spec: DeltaSpec,
): Promise<Pick<DeltaWeights, 'kind' | 'inputs' | 'net' | 'o'>> {
  return {
    kind: 'delta',
    inputs: await loader.linear(qkv.map(allRows)),
    net: {
      spec,
      convolution: await loader.convolution(spec.convolution),
      decay_log: await loader.frozenParameter(spec.decay_log),
      decay_bias: await loader.frozenParameter(spec.decay_bias),
      norm: {
        weight: await loader.frozenParameter(`${spec.norm.path}.weight`),
        eps: spec.norm.eps,
      },
    },
    o: await loader.linear([allRows(o)]),
  };
}
