import type { LayerSpec, LinearSpec, MlpSpec } from './spec';

/** The linear layers of a layer, in the model's order. */
export function linearsOf({ attention, cross, mlp, per_layer }: LayerSpec): LinearSpec[] {
  const { key = null, query = null } = attention.distances ?? {};
  const ofDistances = [key, query].filter((own) => own !== null);
  const ofBranch = per_layer ? [per_layer.gate, per_layer.projection] : [];
  const ofCross = cross ? [cross.q, cross.k, cross.v, cross.o] : [];
  const ofAttention = [...attention.qkv, ...ofDistances, attention.o, ...ofCross];
  return [...ofAttention, ...mlpLinears(mlp), ...ofBranch];
}

/** The linear layers of an MLP. */
export function mlpLinears(mlp: MlpSpec): LinearSpec[] {
  switch (mlp.kind) {
    case 'gated':
      return [mlp.gate, mlp.up, mlp.down];
    case 'gated_fused':
      return [mlp.gate_up, mlp.down];
    case 'plain':
      return [mlp.up, mlp.down];
    case 'mixture': {
      const beside = mlp.beside ? mlpLinears(mlp.beside.mlp) : [];
      return [...beside, mlp.router, ...expertLinears(mlp)];
    }
  }
}

/** The layers of the experts, as checkpoints have them. */
export const expertLinears = (mlp: MlpSpec): LinearSpec[] =>
  mlp.kind === 'mixture'
    ? mlp.experts.flatMap(({ halves, gate_up, down }) =>
        halves ? [halves.gate, halves.up, down] : [gate_up, down],
      )
    : [];
