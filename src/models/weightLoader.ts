import { tensorsOf } from '../formats/architecture/modules';
import type {
  AttentionSpec,
  ConvolutionSpec,
  LayerSpec,
  LinearSpec,
  NormSpec,
  TableSpec,
} from '../formats/architecture/spec';
import type { BaseModel } from '../formats/baseModel';
import { LoraError } from '../shared/errors';
import type { ModelContext } from './adapters';
import { BlockLoader } from './blockLoader';
import { productHeads, ropeKey, windowKey } from './attention/passContext';
import type { Convolution } from './attention/convolution';
import { loadCross } from './attention/loadCross';
import { loadDelta } from './attention/loadDelta';
import { loadDistances } from './attention/loadDistances';
import { QkNorm } from './attention/qkNorm';
import { interleavedRows } from './attention/rope';
import type { LayerWeights } from './layers/layerWeights';
import type { MixerWeights } from './layers/mixing';
import type { Linear } from './layers/linear';
import type { PerLayerBranch } from './layers/perLayerBranch';
import { LoraBlock, type ProductSlot } from './layers/loraBlock';
import { loadFeedForward } from './layers/loadFeedForward';
import type { Norm } from './layers/norm';
import { elementCount, type Tensor } from './ops/ops';
import { Placements, type MatrixPart } from './placements';
import { allRows, queryKeyValueRows, slotsOf, type LinearRows } from './productRows';
import { FullOptimizer } from './training/fullOptimizer';
import { TrainedRows } from './training/trainedRows';
import { TrainedTokens } from './training/trainedTokens';
import { DenseWeight, type WeightTensor } from './weightTensor';
import { countOf } from '../shared/values';

/** A weight that a product uses instead of its layers' own: a loaded one, or a tensor's name. */
type SharedWeight = { readonly weight: WeightTensor } | { readonly name: string };

interface WeightLoaderOptions {
  /** Store frozen matrices in bf16. */
  readonly bf16: boolean;
  /** Keep frozen matrices in the blocks of the checkpoint, where it is quantized. */
  readonly quantized: boolean;
  /** All weights train, in f32. */
  readonly full: boolean;
}

/**
 * Reads a checkpoint into tensors of the backend, each weight once. Owns what it has loaded, until
 * `dispose`. All methods that load throw LoraError('base') for a damaged checkpoint.
 */
export class WeightLoader {
  private readonly placements: Placements;
  private readonly owned: { dispose(): void }[] = [];
  private readonly storesBF16: boolean;
  /** Whether frozen matrices are read in the blocks of the checkpoint. */
  private readonly readsBlocks: boolean;
  private readonly blocks: BlockLoader;
  private readonly shared = new Map<string, Promise<Tensor>>();
  /** Null if the base is frozen. */
  readonly fullOptimizer: FullOptimizer | null;

  constructor(
    readonly context: ModelContext,
    private readonly base: BaseModel,
    { bf16, quantized, full }: WeightLoaderOptions,
  ) {
    const { ops, adapters } = context;
    const trainedSize = (name: string) => adapters.trainedParameter(name)?.size ?? null;
    this.placements = new Placements(ops, base, trainedSize);
    this.storesBF16 = bf16 && !full;
    this.readsBlocks = !full && ops.fused !== null;
    const keeps = quantized && this.readsBlocks;
    const dtype = this.storesBF16 ? 'bf16' : 'f32';
    this.blocks = new BlockLoader(ops, this.placements, { keeps, dtype });
    this.fullOptimizer = full ? this.keep(this.makeFullOptimizer()) : null;
  }

  private makeFullOptimizer(): FullOptimizer {
    const { body, head } = tensorsOf(this.base.spec);
    const constants = this.base.spec.layers.map((layer) => layer.output_factor);
    const names = [...body, ...head]
      .map(({ name }) => name)
      .filter((name) => !constants.includes(name));
    return new FullOptimizer(this.context, this.placements, names);
  }

  /** The present numbers of a weight, by its name and in its order in the checkpoint. */
  read(name: string): Promise<Float32Array> {
    return this.placements.read(name);
  }

  /** Disposes of `part` together with the weights. */
  keep<T extends { dispose(): void }>(part: T): T {
    this.owned.push(part);
    return part;
  }

  dispose(): void {
    for (const part of this.owned.reverse()) part.dispose();
    this.owned.length = 0;
  }

  /** All weights of layer i of a transformer. */
  async layer(layers: readonly LayerSpec[], i: number): Promise<LayerWeights> {
    const spec = layers[i]!;
    const { norms, output_factor } = spec;
    return {
      attention: await this.mixer(layers, i),
      cross: await loadCross(this, spec.cross),
      mlp: await loadFeedForward(this, spec),
      after_attention: await this.normOrNull(norms.after_attention),
      after_mlp: await this.normOrNull(norms.after_mlp),
      residual: spec.residual,
      perLayer: await this.perLayerBranch(i, spec),
      outputFactor: output_factor === undefined ? 1 : await this.constant(output_factor),
    };
  }

  private async perLayerBranch(
    layer: number,
    { per_layer }: LayerSpec,
  ): Promise<PerLayerBranch | null> {
    if (!per_layer) return null;
    const { activation, gate, projection, norm } = per_layer;
    return {
      layer,
      activation,
      gate: await this.linear([allRows(gate)]),
      projection: await this.linear([allRows(projection)]),
      norm: await this.norm(norm),
    };
  }

  /** A number that never trains. */
  private async constant(name: string): Promise<number> {
    return (await this.constants(name))[0]!;
  }

  /** Numbers that never train. */
  async constants(name: string): Promise<Float32Array> {
    this.refuseTraining(name, 'beside LoRA');
    const { ops } = this.context;
    const data = await this.placements.vector([{ name, order: null }]);
    const weight = this.keep(new DenseWeight(ops, ops.upload(data, [data.length]), null));
    this.placements.register([name], weight);
    return data;
  }

  /** Keys that are values, too, are twice in a product: their gradients would be apart. */
  private refuseSharedProduct({ values, qkv }: AttentionSpec): void {
    if (values !== 'keys') return;
    const { path } = qkv[1]!;
    for (const kind of ['weight', 'bias']) this.refuseTraining(`${path}.${kind}`);
  }

  private async mixer(layers: readonly LayerSpec[], i: number): Promise<MixerWeights> {
    const { attention, norms, branch_scale } = layers[i]!;
    const branch = {
      norm_in: await this.normOrNull(norms.attention_in),
      norm_out: await this.normOrNull(norms.attention_out),
      scale_out: branch_scale ?? 1,
    };
    const { delta, convolution, num_heads, num_kv_heads, head_dim } = attention;
    if (delta) return { ...branch, ...(await loadDelta(this, attention, delta)) };
    this.refuseSharedProduct(attention);
    return {
      ...branch,
      kind: 'attention',
      qkv: await this.linear(queryKeyValueRows(attention)),
      qk_norm: await this.qkNorm(attention),
      distances: await loadDistances(this, attention),
      convolution: convolution ? await this.convolution(convolution) : null,
      o: await this.linear([allRows(attention.o)]),
      heads: { num_heads, num_kv_heads, head_dim },
      keysOf: attention.keys_of ?? null,
      lendsKeysAs: layers.some((own) => own.attention.keys_of === i) ? i : null,
      gated: attention.gated ?? false,
      softcap: attention.softcap,
      sinks: attention.sinks === undefined ? null : await this.untrained(attention.sinks),
      windowKey: windowKey(attention),
      ropeKey: ropeKey(attention),
    };
  }

  /** A short convolution. */
  async convolution(spec: ConvolutionSpec): Promise<Convolution> {
    const { path, kernel, channels } = spec;
    const weight = await this.frozenParameter(`${path}.weight`);
    const bias = spec.bias ? await this.vector(path, 'bias', channels) : null;
    return { kernel, weight, bias };
  }

  /** `norm`, or null without a spec. */
  normOrNull(spec: NormSpec | null): Promise<Norm | null> {
    return spec ? this.norm(spec) : Promise.resolve(null);
  }

  /** LayerNorm, RMSNorm or LayerScale. */
  async norm(spec: NormSpec): Promise<Norm> {
    const { path, kind, size, eps, unit_offset, bias: hasBias, parameter } = spec;
    const weight = parameter
      ? await this.frozenParameter(`${path}.${parameter}`)
      : await this.vector(path, 'weight', size);
    const bias =
      kind === 'layer' && hasBias !== false ? await this.vector(path, 'bias', size) : null;
    const scale = unit_offset ? this.onePlus(weight) : this.scaleOf(spec, weight);
    return { kind, weight, bias, eps, scale };
  }

  /** One whose gradient is not computed. */
  private async untrained(name: string): Promise<Tensor> {
    this.refuseTraining(name);
    return (await this.parameter(name)).tensor;
  }

  /** One that cannot train beside LoRA. */
  frozenParameter(name: string): Promise<DenseWeight> {
    this.refuseTraining(name, 'beside LoRA');
    return this.parameter(name);
  }

  /** factor · weight; one with a factor does not train. */
  private scaleOf({ factor = 1 }: NormSpec, weight: DenseWeight): () => Tensor {
    if (factor === 1) return () => weight.tensor;
    const { ops } = this.context;
    const scaled = ops.scale(weight.tensor, factor);
    this.keep({ dispose: () => ops.free(scaled) });
    return () => scaled;
  }

  /** weight + 1, computed again whenever the weight changes. */
  private onePlus(weight: DenseWeight): () => Tensor {
    const { ops, adapters } = this.context;
    const compute = () => {
      const one = ops.upload(Float32Array.of(1), [1]);
      const sum = ops.add(weight.tensor, one);
      ops.free(one);
      return sum;
    };
    let tensor = compute();
    if (weight.gradientSink) {
      adapters.onChange(() => {
        ops.free(tensor);
        tensor = compute();
        return Promise.resolve();
      });
    }
    this.keep({ dispose: () => ops.free(tensor) });
    return () => tensor;
  }

  private async vector(path: string, kind: 'weight' | 'bias', size: number): Promise<DenseWeight> {
    const name = `${path}.${kind}`;
    const data = await this.placements.vector([{ name, order: null }]);
    const slot: ProductSlot = { path, row: 0, rows: size, order: null };
    const trained = TrainedRows.of(this.context, [slot], { kind, width: 1 });
    return this.hold([name], data, [size], trained);
  }

  private async qkNorm(spec: AttentionSpec): Promise<QkNorm | null> {
    const { qk_norm, num_heads, num_kv_heads, head_dim, rope } = spec;
    if (!qk_norm) return null;
    const { over, values = false } = qk_norm;
    const part = async ({ path, size, unit_offset }: NormSpec, heads: number) => {
      const rows = interleavedRows(heads * head_dim, head_dim, rope?.rotary_dim ?? 0);
      return {
        weight: await this.vector(path, 'weight', size),
        order: over === 'head' ? rows.map((row) => row % head_dim) : rows,
        offset: unit_offset ? 1 : 0,
      };
    };
    const q = await part(qk_norm.q, num_heads);
    const parts = qk_norm.k ? [q, await part(qk_norm.k, num_kv_heads)] : [q];
    const { ops, adapters } = this.context;
    const settings = { over, eps: qk_norm.q.eps, layout: productHeads(spec), values };
    const norm = await QkNorm.of(ops, settings, parts);
    if (norm.trains) adapters.onChange(() => norm.refresh());
    return this.keep(norm);
  }

  /** A table whose rows are looked up. [rows, width] */
  async table({ path, rows }: TableSpec, width: number): Promise<WeightTensor> {
    const slot: ProductSlot = { path, row: 0, rows, order: null };
    const trained = TrainedRows.of(this.context, [slot], { kind: 'weight', width });
    const part = { name: `${path}.weight`, order: null, transposed: false };
    return this.matrix([part], [rows, width], trained);
  }

  /** @throws LoraError('base') where the tensor, whose gradient is not computed, was to train. */
  refuseTraining(name: string, when: 'always' | 'beside LoRA' = 'always'): void {
    const { adapters } = this.context;
    const isFull = this.fullOptimizer !== null && when === 'always';
    if (!isFull && adapters.trainedParameter(name) === null) return;
    throw new LoraError(
      'base',
      `The tensor ${name} cannot be trained: its gradient is not computed.`,
      {
        place: { file: this.base.path, tensor: name },
        fix: 'Train with LoRA, leave it out of modules_to_save, and set lora.bias to "none" if it is a bias.',
      },
    );
  }

  /** What `make` loads for all layers that share it, once. */
  once(name: string, make: () => Promise<Tensor>): Promise<Tensor> {
    const made = this.shared.get(name) ?? make();
    this.shared.set(name, made);
    return made;
  }

  /** A parameter that belongs to no layer, by its name. */
  async parameter(name: string): Promise<DenseWeight> {
    const shape = this.placements.shapeOf(name);
    return this.hold([name], await this.placements.vector([{ name, order: null }]), shape, null);
  }

  /**
   * The output layer. If it is tied, it shares the weight of the embedding at `path`, unless one of
   * the two trains whole beside an adapter: then each has its own.
   */
  async lmOutput(
    output: LinearSpec,
    tied: boolean,
    tokens: WeightTensor,
    path: string,
  ): Promise<Linear> {
    const rows = [allRows(output)];
    if (!tied) return this.linear(rows);
    const isTrained = this.context.adapters.trainedParameter(`${output.path}.weight`) !== null;
    const { gradientSink } = tokens;
    const isShared =
      this.fullOptimizer !== null || (!isTrained && (!gradientSink || gradientSink.rows !== null));
    return this.linear(rows, isShared ? { weight: tokens } : { name: `${path}.weight` });
  }

  /**
   * One product of several layers, concatenated along their rows. `adapted`: further places of LoRA
   * on its rows.
   */
  async linear(
    parts: readonly LinearRows[],
    shared?: SharedWeight,
    adapted: readonly ProductSlot[] = [],
  ): Promise<Linear> {
    const { in_features, bias: hasBias } = parts[0]!.spec;
    const slots = slotsOf(parts);
    const { row, rows } = slots.at(-1)!;
    const out_features = row + rows;
    const weight =
      shared && 'weight' in shared
        ? shared.weight
        : await this.product(parts, slots, [out_features, in_features], shared?.name);
    const bias = hasBias ? await this.bias(parts, slots, out_features) : null;
    const size = { in_features, out_features };
    const lora = await LoraBlock.of(this.context, [...slots, ...adapted], size, weight);
    if (lora) this.keep(lora);
    return { weight, bias, lora };
  }

  /** A layer whose weight is frozen and always in f32. */
  async preciseLinear(spec: LinearSpec): Promise<Linear> {
    const { path, in_features, out_features } = spec;
    const name = `${path}.weight`;
    const part = { name, order: null, transposed: false };
    const data = await this.placements.matrix([part], in_features);
    const weight = this.hold([name], data, [out_features, in_features], null);
    const size = { in_features, out_features };
    const slots = slotsOf([allRows(spec)]);
    const bias = spec.bias ? await this.bias([allRows(spec)], slots, out_features) : null;
    const lora = await LoraBlock.of(this.context, slots, size, weight);
    if (lora) this.keep(lora);
    return { weight, bias, lora };
  }

  /** `name`: the tensor to read instead of the layers' own. */
  private async product(
    parts: readonly LinearRows[],
    slots: readonly ProductSlot[],
    shape: readonly [rows: number, width: number],
    name?: string,
  ): Promise<WeightTensor> {
    const frozen = name !== undefined;
    const matrices = parts.map(({ spec, order }) => ({
      name: name ?? `${spec.path}.weight`,
      order,
      transposed: spec.transposed,
      frozen,
    }));
    const { transposed } = parts[0]!.spec;
    const [, width] = shape;
    const trained = TrainedRows.of(this.context, slots, { kind: 'weight', width, transposed });
    return this.matrix(matrices, shape, trained);
  }

  /** bf16 is uploaded in pairs: a matrix with an odd number of elements stays in f32. */
  private async matrix(
    parts: readonly MatrixPart[],
    shape: readonly [rows: number, width: number],
    trained: TrainedRows | null,
  ): Promise<WeightTensor> {
    const [, width] = shape;
    const names = parts.map((part) => part.name);
    const isFrozen = !trained && !TrainedTokens.of(this.context, names[0]!);
    if (this.readsBlocks && isFrozen) {
      const stored = await this.blocks.matrix(parts, width);
      if (stored) return this.keep(stored);
    }
    if (this.storesBF16 && !trained && elementCount(shape) % 2 === 0) {
      return this.hold(names, await this.placements.bf16Matrix(parts, width), shape, null);
    }
    return this.hold(names, await this.placements.matrix(parts, width), shape, trained);
  }

  private async bias(
    parts: readonly LinearRows[],
    slots: readonly ProductSlot[],
    rows: number,
  ): Promise<DenseWeight> {
    const vectors = parts.map(({ spec, order }) => ({ name: `${spec.path}.bias`, order }));
    const data = await this.placements.vector(vectors);
    const trained = TrainedRows.of(this.context, slots, { kind: 'bias', width: 1 });
    const names = vectors.map((vector) => vector.name);
    return this.hold(names, data, [rows], trained);
  }

  /** Uploads the numbers that were read last. Only frozen weights can be bits of bf16. */
  private hold(
    names: readonly string[],
    data: Float32Array | Uint16Array,
    shape: readonly number[],
    trained: TrainedRows | null,
  ): DenseWeight {
    const size = elementCount(shape);
    if (data.length !== size) {
      const message = `The tensor has ${countOf(data.length, 'number')}, ${size} ${size === 1 ? 'is' : 'are'} needed.`;
      throw new LoraError('base', message, { place: { file: this.base.path, tensor: names[0]! } });
    }
    if (trained) return this.keep(trained.hold(data as Float32Array, shape));
    const { ops } = this.context;
    const tokens = TrainedTokens.of(this.context, names[0]!);
    if (tokens) return this.keep(tokens.hold(ops.upload(data, shape)));
    const weight = this.fullOptimizer
      ? this.fullOptimizer.hold(data as Float32Array, shape)
      : this.keep(new DenseWeight(ops, ops.upload(data, shape), null));
    this.placements.register(names, weight);
    return weight;
  }
}
