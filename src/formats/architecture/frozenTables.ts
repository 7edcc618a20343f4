import type { TargetableModule } from '../../lora/adapter';
import { layerWithoutEffect, scoreBiases, towersOf } from './modules';
import type { EmbeddingSpec, Spec } from './spec';

/**
 * The embedding layers that PEFT can adapt and LoRA here cannot: learned positions, segment types,
 * and what attention knows of distances. Their sizes are not given, only their paths are.
 */
export const frozenTables = (spec: Spec): TargetableModule[] =>
  [
    ...new Set([
      ...towersOf(spec).flatMap(tablesOfTower),
      ...(spec.vision ? [spec.vision.positions.path] : []),
    ]),
  ].map((path) => named(path, 'embedding'));

/** The layer that PEFT adapts, too, but on which nothing that is trained depends; none: []. */
export const layersWithoutEffect = (spec: Spec): TargetableModule[] => {
  const own = layerWithoutEffect(spec);
  return own ? [named(own.path, 'linear')] : [];
};

const named = (path: string, kind: TargetableModule['kind']): TargetableModule => ({
  path,
  kind,
  in_features: 0,
  out_features: 0,
  is_output: false,
});

function tablesOfTower(spec: Spec): string[] {
  const distances = spec.layers.flatMap(({ attention }) => attention.distances?.table.path ?? []);
  return [
    ...embeddingTables(spec.embedding),
    ...scoreBiases(spec).map(({ path }) => path),
    ...distances,
  ];
}

function embeddingTables(embedding: EmbeddingSpec): string[] {
  if (embedding.kind === 'tokens') {
    const { positions, types } = embedding;
    return [positions, types].flatMap((table) => table?.path ?? []);
  }
  // positions of images are an embedding layer in some models, and a bare parameter in others
  const path = /^(.+)\.weight$/.exec(embedding.positions)?.[1];
  return path === undefined ? [] : [path];
}
