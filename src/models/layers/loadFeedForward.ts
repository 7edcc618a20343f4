import type {
  ExpertSpec,
  LayerSpec,
  LinearSpec,
  MixtureSpec,
  MlpSpec,
  NormSpec,
} from '../../formats/architecture/spec';
import { expertLinears } from '../../formats/architecture/layerLinears';
import {
  allRows,
  everySecondOf,
  gateAndUpRows,
  halvesOf,
  slotsOf,
  type LinearRows,
} from '../productRows';
import type { FeedForwardWeights } from './feedForward';
import type { Linear } from './linear';
import type { ProductSlot } from './loraBlock';
import type { MixtureWeights } from './mixture';
import type { MlpWeights } from './mlpBranch';
import type { Norm } from './norm';

/** The part of the weight loader that it needs. */
interface Loader {
  readonly refuseTraining: (name: string) => void;
  readonly normOrNull: (spec: NormSpec | null) => Promise<Norm | null>;
  readonly linear: (
    parts: readonly LinearRows[],
    shared?: undefined,
    adapted?: readonly ProductSlot[],
  ) => Promise<Linear>;
  /** The numbers of a parameter that does not train. */
  readonly constants: (name: string) => Promise<Float32Array>;
  readonly preciseLinear: (spec: LinearSpec) => Promise<Linear>;
}

/** What follows attention in a layer. */
export async function loadFeedForward(
  loader: Loader,
  { mlp, norms, branch_scale = 1 }: LayerSpec,
): Promise<FeedForwardWeights> {
  const branch = {
    norm_in: await loader.normOrNull(norms.mlp_in),
    norm_out: await loader.normOrNull(norms.mlp_out),
    scale_out: branch_scale,
  };
  if (mlp.kind !== 'mixture') return { ...branch, ...(await loadMlp(loader, mlp)) };
  const mixture = await loadMixture(loader, mlp);
  const { beside } = mlp;
  if (!beside) return { ...branch, ...mixture };
  const { norm_in, ...output } = branch;
  const norm_out = await loader.normOrNull(beside.norm_out);
  const experts = {
    norm_in: await loader.normOrNull(beside.experts_in),
    norm_out: await loader.normOrNull(beside.experts_out),
    scale_out: 1,
  };
  return {
    kind: 'both',
    ...output,
    mlp: { norm_in, norm_out, scale_out: 1, ...(await loadMlp(loader, beside.mlp)) },
    mixture: { ...experts, ...mixture },
  };
}

async function loadMlp(
  loader: Loader,
  spec: Exclude<MlpSpec, MixtureSpec>,
): Promise<Pick<MlpWeights, 'kind' | 'activation' | 'clamped' | 'gate' | 'up' | 'down'>> {
  const [gate, up] = gateAndUpRows(spec);
  return {
    kind: 'mlp',
    activation: spec.activation,
    clamped: null,
    gate: gate && (await loader.linear([gate])),
    up: await loader.linear([up]),
    down: await loader.linear([allRows(spec.down)]),
  };
}

/** Adapters have one module on both. */
async function loadGateAndUp(
  loader: Loader,
  { halves, gate_up, order }: ExpertSpec,
): Promise<{ readonly gate: Linear; readonly up: Linear }> {
  const [ofGate, ofUp] = order === 'halves' ? halvesOf(gate_up) : everySecondOf(gate_up);
  if (!halves) return { gate: await loader.linear([ofGate]), up: await loader.linear([ofUp]) };
  return {
    gate: await loader.linear([allRows(halves.gate)], undefined, slotsOf([ofGate])),
    up: await loader.linear([allRows(halves.up)], undefined, slotsOf([ofUp])),
  };
}

/**
 * The router and the experts of a mixture.
 *
 * @throws LoraError('base') where their weights were to train.
 */
async function loadMixture(
  loader: Loader,
  spec: MixtureSpec,
): Promise<Omit<MixtureWeights, 'norm_in' | 'norm_out' | 'scale_out'>> {
  const { activation, router, top_k, normalises } = spec;
  for (const { path } of [router, ...expertLinears(spec)])
    for (const kind of ['weight', 'bias']) loader.refuseTraining(`${path}.${kind}`);
  const experts: MlpWeights[] = [];
  for (const expert of spec.experts) {
    experts.push({
      kind: 'mlp',
      activation,
      clamped: spec.clamped ?? null,
      norm_in: null,
      norm_out: null,
      scale_out: 1,
      ...(await loadGateAndUp(loader, expert)),
      down: await loader.linear([allRows(expert.down)]),
    });
  }
  // in bf16, experts would often be equally probable
  return {
    kind: 'mixture',
    norm_router: await loader.normOrNull(spec.router_norm ?? null),
    router: await loader.preciseLinear(router),
    scales: spec.expert_scale === undefined ? null : await loader.constants(spec.expert_scale),
    experts,
    top_k,
    normalises,
  };
}
