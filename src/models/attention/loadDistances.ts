import { scoreBiases } from '../../formats/architecture/modules';
import type {
  AttentionSpec,
  DistanceSpec,
  LinearSpec,
  NormSpec,
  Spec,
} from '../../formats/architecture/spec';
import { normForward, statsTensors, type Norm } from '../layers/norm';
import type { Tensor } from '../ops/ops';
import type { ModelContext } from '../adapters';
import type { Linear } from '../layers/linear';
import type { DenseWeight } from '../weightTensor';
import type { DistanceWeights } from './distances';
import { ScoreBias } from './scoreBias';

/** The part of the weight loader that it needs. */
interface Loader {
  readonly context: ModelContext;
  readonly refuseTraining: (name: string, when?: 'always' | 'beside LoRA') => void;
  readonly parameter: (name: string) => Promise<DenseWeight>;
  readonly normOrNull: (spec: NormSpec | null) => Promise<Norm | null>;
  readonly linear: (
    parts: readonly { readonly spec: LinearSpec; readonly order: null }[],
  ) => Promise<Linear>;
  readonly once: (name: string, make: () => Promise<Tensor>) => Promise<Tensor>;
  readonly keep: (part: { dispose(): void }) => unknown;
}

/**
 * The tables of biases, by path. They train with all weights, but not beside an adapter.
 *
 * @throws LoraError('base') where they were to train beside an adapter.
 */
export async function loadScoreBiases(
  loader: Loader,
  spec: Spec,
): Promise<ReadonlyMap<string, ScoreBias>> {
  const { ops, adapters } = loader.context;
  const loaded = new Map<string, ScoreBias>();
  for (const own of scoreBiases(spec)) {
    const name = `${own.path}.weight`;
    loader.refuseTraining(name, 'beside LoRA');
    const bias = await ScoreBias.of(ops, own, await loader.parameter(name));
    if (bias.trains) adapters.onChange(() => bias.refresh());
    loaded.set(own.path, bias);
  }
  return loaded;
}

/**
 * What a layer makes the distance embeddings from; null: its scores do not depend on these.
 *
 * @throws LoraError('base') where the table was to train.
 */
export async function loadDistances(
  loader: Loader,
  { distances: spec, scale }: AttentionSpec,
): Promise<DistanceWeights | null> {
  if (!spec) return null;
  const table = await loader.once(spec.table.path, () => loadTable(loader, spec));
  const linear = (own: LinearSpec | null) =>
    own ? loader.linear([{ spec: own, order: null }]) : null;
  return { spec, table, scale, key: await linear(spec.key), query: await linear(spec.query) };
}

async function loadTable(loader: Loader, { table, norm: normSpec }: DistanceSpec): Promise<Tensor> {
  const { ops } = loader.context;
  loader.refuseTraining(`${table.path}.weight`);
  if (normSpec) loader.refuseTraining(`${normSpec.path}.weight`);
  const norm = await loader.normOrNull(normSpec);
  const { tensor } = await loader.parameter(`${table.path}.weight`);
  if (!norm) return tensor;
  const { h, stats } = normForward(ops, norm, tensor);
  ops.free(...statsTensors(stats));
  loader.keep({ dispose: () => ops.free(h) });
  return h;
}
