import type { LayerSpec, MixtureSpec, MlpSpec } from '../../formats/architecture/spec';
import { mlpLinears } from '../../formats/architecture/modules';
import { allRows, gateAndUpRows, halvesOf, slotsOf } from '../productRows';
import type { WeightLoader } from '../weightLoader';
import type { FeedForwardWeights } from './feedForward';
import type { MixtureWeights } from './mixture';
import type { MlpWeights } from './mlpBranch';

/** What follows attention in a layer. */
export async function loadFeedForward(
  loader: WeightLoader,
  { mlp, norms, branch_scale = 1 }: LayerSpec,
): Promise<FeedForwardWeights> {
  const branch = {
    norm_in: await loader.normOrNull(norms.mlp_in),
    norm_out: await loader.normOrNull(norms.mlp_out),
    scale_out: branch_scale,
  };
  return mlp.kind === 'mixture'
    ? { ...branch, ...(await loadMixture(loader, mlp)) }
    : { ...branch, ...(await loadMlp(loader, mlp)) };
}

async function loadMlp(
  loader: WeightLoader,
  spec: Exclude<MlpSpec, MixtureSpec>,
): Promise<Pick<MlpWeights, 'kind' | 'activation' | 'gate' | 'up' | 'down'>> {
  const [gate, up] = gateAndUpRows(spec);
  return {
    kind: 'mlp',
    activation: spec.activation,
    gate: gate && (await loader.linear([gate])),
    up: await loader.linear([up]),
    down: await loader.linear([allRows(spec.down)]),
  };
}

/**
 * The router and the experts of a mixture.
 *
 * @throws LoraError('base') where their weights were to train.
 */
async function loadMixture(
  loader: WeightLoader,
  spec: MixtureSpec,
): Promise<Pick<MixtureWeights, 'kind' | 'router' | 'experts' | 'top_k' | 'normalises'>> {
  const { activation, router, top_k, normalises } = spec;
  for (const { path } of mlpLinears(spec)) loader.refuseTraining(`${path}.weight`);
  const experts: MlpWeights[] = [];
  for (const { gate, up, down, gate_up } of spec.experts) {
    const [ofGate, ofUp] = halvesOf(gate_up);
    experts.push({
      kind: 'mlp',
      activation,
      norm_in: null,
      norm_out: null,
      scale_out: 1,
      gate: await loader.linear([allRows(gate)], undefined, slotsOf([ofGate])),
      up: await loader.linear([allRows(up)], undefined, slotsOf([ofUp])),
      down: await loader.linear([allRows(down)]),
    });
  }
  // in bf16, experts would often be equally probable
  return {
    kind: 'mixture',
    router: await loader.preciseLinear(router),
    experts,
    top_k,
    normalises,
  };
}
