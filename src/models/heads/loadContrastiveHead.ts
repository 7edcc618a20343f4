import type {
  AttentionPoolSpec,
  HeadSpec,
  LinearSpec,
  ParameterSpec,
  VectorSpec,
} from '../../formats/architecture/spec';
import { loadTransformer } from '../loadTransformer';
import { thenFree, type Tensor } from '../ops/ops';
import type { Transformer } from '../transformer';
import type { WeightLoader } from '../weightLoader';
import type { AttentionPool } from './attentionPool';
import { ContrastiveHead } from './contrastiveHead';
import { VectorTower } from './vectorTower';

type ContrastiveSpec = Extract<HeadSpec, { kind: 'contrastive' }>;

/**
 * Loads the vision encoder, and what both towers have above their transformers.
 *
 * @param texts The transformer of the text encoder.
 * @throws LoraError('base') for a missing tensor or a wrong shape, and if all weights are to train.
 */
export async function loadContrastiveHead(
  loader: WeightLoader,
  texts: Transformer,
  { images, text, loss, scale, bias }: ContrastiveSpec,
  options: Parameters<typeof loadTransformer>[2],
): Promise<ContrastiveHead> {
  const factor = Math.exp(await oneNumber(loader, scale));
  const shift = bias ? await oneNumber(loader, bias) : 0;
  const { transformer } = await loadTransformer(loader, images, options);
  const imageTower = await towerOf(loader, transformer, images.head as VectorSpec);
  return new ContrastiveHead(await towerOf(loader, texts, text), imageTower, {
    loss,
    factor,
    bias: shift,
  });
}

async function oneNumber(loader: WeightLoader, { name }: ParameterSpec): Promise<number> {
  loader.refuseTraining(name);
  const { tensor } = await loader.parameter(name);
  return (await loader.context.ops.download(tensor))[0]!;
}

async function towerOf(
  loader: WeightLoader,
  body: Transformer,
  { pool, projection }: VectorSpec,
): Promise<VectorTower> {
  const own =
    pool.kind === 'attention'
      ? { kind: pool.kind, weights: await attentionPool(loader, pool) }
      : pool;
  return new VectorTower(body, own, projection && (await linearOf(loader, projection)));
}

const linearOf = (loader: WeightLoader, spec: LinearSpec) => loader.linear([{ spec, order: null }]);

async function attentionPool(
  loader: WeightLoader,
  spec: AttentionPoolSpec,
): Promise<AttentionPool> {
  const { ops } = loader.context;
  const parameter = (name: string): Promise<Tensor> => {
    loader.refuseTraining(name);
    return loader.parameter(name).then(({ tensor }) => tensor);
  };
  const keep = (tensor: Tensor): Tensor => {
    loader.keep({ dispose: () => ops.free(tensor) });
    return tensor;
  };
  const inProjection = await parameter(`${spec.attention}.in_proj_weight`); // [3 d, d]
  const inBias = await parameter(`${spec.attention}.in_proj_bias`); // [3 d]
  const probe = await parameter(spec.probe); // [1, 1, d]
  const d = inProjection.shape[1]!;
  const ofQuery = ops.slice(inProjection, [0, 0], [d, d]);
  const learned = ops.reshape(probe, [1, d]);
  const product = thenFree(ops, ops.matMul(learned, ofQuery, false, true), learned, ofQuery);
  const queryBias = ops.slice(inBias, [0], [d]);
  return {
    spec,
    query: keep(thenFree(ops, ops.add(product, queryBias), product, queryBias)),
    kv: keep(ops.slice(inProjection, [d, 0], [2 * d, d])),
    kv_bias: keep(ops.slice(inBias, [d], [2 * d])),
    o: await parameter(`${spec.o.path}.weight`),
    o_bias: await parameter(`${spec.o.path}.bias`),
    norm: await loader.norm(spec.norm),
    up: await linearOf(loader, spec.up),
    down: await linearOf(loader, spec.down),
  };
}
