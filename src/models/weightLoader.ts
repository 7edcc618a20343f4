import { tensorsOf } from '../formats/architecture/modules';
import type {
  AttentionSpec,
  LayerSpec,
  LinearSpec,
  MlpSpec,
  NormSpec,
  TableSpec,
} from '../formats/architecture/spec';
import type { BaseModel } from '../formats/baseModel';
import { LoraError } from '../shared/errors';
import type { Adapters } from './adapters';
import { WeightTensor } from './weightTensor';
import type { LayerWeights } from './layers/layer';
import type { Linear } from './layers/linear';
import { LoraBlock, type ProductSlot } from './layers/loraBlock';
import type { Norm } from './layers/norm';
import { elementCount, type Ops, type Tensor } from './ops/ops';
import { Placements } from './placements';
import { QkNorm } from './attention/qkNorm';
import { interleavedRows } from './attention/rope';
import { TrainedRows } from './training/trainedRows';
import { FullOptimizer } from './training/fullOptimizer';

/** A linear layer, or some of its rows in another order, within a product. */
export interface LinearRows {
  readonly spec: LinearSpec;
  readonly order: Int32Array | null;
}

/**
 * Reads a checkpoint into the backing's tensors, each weight once, and knows where each lies.
 * Errors: LoraError('base') where one is damaged.
 */
export class WeightLoader {
  private readonly placements: Placements;
  private readonly owned: { dispose(): void }[] = [];
  private readonly half: boolean;
  /** Null where the base is frozen. */
  readonly fullOptimizer: FullOptimizer | null;

  /** `half`: frozen matrices are held in bf16; `whole`: none is frozen. */
  constructor(
    private readonly ops: Ops,
    private readonly base: BaseModel,
    private readonly adapters: Adapters,
    { half = false, whole = false } = {},
  ) {
    this.placements = new Placements(ops, base, (name) => adapters.trained(name)?.size ?? null);
    this.half = half && !whole;
    const { body, head } = tensorsOf(base.spec);
    this.fullOptimizer = whole
      ? this.keep(
          new FullOptimizer(
            ops,
            adapters,
            this.placements,
            [...body, ...head].map(({ name }) => name),
          ),
        )
      : null;
  }

  /** A weight as it is in memory now, under its name and in its order in the checkpoint. */
  read(name: string): Promise<Float32Array> {
    return this.placements.read(name);
  }

  dispose(): void {
    for (const held of this.owned.reverse()) held.dispose();
    this.owned.length = 0;
  }

  async layer(spec: LayerSpec): Promise<LayerWeights> {
    const { attention: a, mlp, norms } = spec;
    return {
      attention: {
        norm_in: await this.normOrNull(norms.attention_in),
        norm_out: await this.normOrNull(norms.attention_out),
        qkv: await this.linear(queryPieces(a)),
        qk_norm: await this.qkNorm(a),
        o: await this.linear([whole(a.o)]),
        softcap: a.softcap,
        windowKey: windowKey(a),
        ropeKey: ropeKey(a),
      },
      mlp: {
        norm_in: await this.normOrNull(norms.mlp_in),
        norm_out: await this.normOrNull(norms.mlp_out),
        ...(await this.mlp(mlp)),
      },
      after_attention: await this.normOrNull(norms.after_attention),
      after_mlp: await this.normOrNull(norms.after_mlp),
      residual: spec.residual,
    };
  }

  private async mlp(spec: MlpSpec) {
    const { activation, down } = spec;
    if (spec.kind === 'plain')
      return {
        activation,
        gate: null,
        up: await this.linear([whole(spec.up)]),
        down: await this.linear([whole(down)]),
      };
    if (spec.kind === 'gated')
      return {
        activation,
        gate: await this.linear([whole(spec.gate)]),
        up: await this.linear([whole(spec.up)]),
        down: await this.linear([whole(down)]),
      };
    const half = spec.gate_up.out_features / 2;
    const rows = (start: number) =>
      this.linear([
        { spec: spec.gate_up, order: Int32Array.from({ length: half }, (_, i) => start + i) },
      ]);
    return {
      activation,
      gate: await rows(0),
      up: await rows(half),
      down: await this.linear([whole(down)]),
    };
  }

  normOrNull(spec: NormSpec | null): Promise<Norm | null> {
    return spec ? this.norm(spec) : Promise.resolve(null);
  }

  async norm(spec: NormSpec): Promise<Norm> {
    const { path, kind, size, eps, unit_offset } = spec;
    const vector = (name: 'weight' | 'bias') => this.vector(path, name, size);
    const weight = await vector('weight');
    const bias = kind === 'layer' ? await vector('bias') : null;
    return {
      kind,
      weight,
      bias,
      eps,
      scale: unit_offset ? this.shifted(weight) : () => weight.tensor,
    };
  }

  /** weight + 1, made anew where the weight trains. */
  private shifted(weight: WeightTensor): () => Tensor {
    const { ops } = this;
    const make = () => {
      const one = ops.upload(Float32Array.of(1), [1]);
      const sum = ops.add(weight.tensor, one);
      ops.free(one);
      return sum;
    };
    let tensor = make();
    if (weight.gradientSink) {
      this.adapters.onChange(() => {
        ops.free(tensor);
        tensor = make();
        return Promise.resolve();
      });
    }
    this.owned.push({ dispose: () => ops.free(tensor) });
    return () => tensor;
  }

  private async vector(path: string, kind: 'weight' | 'bias', size: number): Promise<WeightTensor> {
    const name = `${path}.${kind}`;
    const data = await this.placements.vector([{ name, order: null }]);
    const slot: ProductSlot = { path, row: 0, rows: size, order: null };
    return this.hold(
      [name],
      data,
      [size],
      TrainedRows.of(this.ops, this.adapters, [slot], kind, 1),
    );
  }

  private async qkNorm({
    qk_norm,
    num_heads,
    num_kv_heads,
    head_dim,
    rope,
  }: AttentionSpec): Promise<QkNorm | null> {
    if (!qk_norm) return null;
    const { over } = qk_norm;
    const part = async ({ path, size, unit_offset }: NormSpec, heads: number) => {
      const order = interleavedRows(heads * head_dim, head_dim, rope?.rotary_dim ?? 0);
      return {
        weight: await this.vector(path, 'weight', size),
        order: over === 'head' ? order.map((row) => row % head_dim) : order,
        offset: unit_offset ? 1 : 0,
      };
    };
    const norm = await QkNorm.of(
      this.ops,
      over,
      [await part(qk_norm.q, num_heads), await part(qk_norm.k, num_kv_heads)],
      qk_norm.q.eps,
    );
    if (norm.trains) this.adapters.onChange(() => norm.refresh());
    return this.keep(norm);
  }

  /** A table whose rows are looked up. */
  async table({ path, rows }: TableSpec, width: number): Promise<WeightTensor> {
    const slot: ProductSlot = { path, row: 0, rows, order: null };
    return this.matrix(
      [{ name: `${path}.weight`, order: null, transposed: false }],
      [rows, width],
      TrainedRows.of(this.ops, this.adapters, [slot], 'weight', width),
    );
  }

  /** Disposes of it together with the model. */
  keep<T extends { dispose(): void }>(part: T): T {
    this.owned.push(part);
    return part;
  }

  /** A parameter that belongs to no layer. */
  async parameter(name: string): Promise<WeightTensor> {
    const shape = this.placements.shapeOf(name);
    return this.hold([name], await this.placements.vector([{ name, order: null }]), shape, null);
  }

  /**
   * The output layer, whose weight is the embedding's where they are tied; where one of both trains
   * beside an adapter, each has its own.
   */
  async lmOutput(
    output: LinearSpec,
    tied: boolean,
    tokens: WeightTensor,
    path: string,
  ): Promise<Linear> {
    if (tied && this.fullOptimizer) return this.linear([whole(output)], { held: tokens });
    if (!tied || this.adapters.trained(`${output.path}.weight`))
      return this.linear([whole(output)], tied ? { name: `${path}.weight` } : undefined);
    return this.linear(
      [whole(output)],
      tokens.gradientSink ? { name: `${path}.weight` } : { held: tokens },
    );
  }

  /**
   * One product of several layers, one below the other. `own`: another weight instead of theirs.
   */
  async linear(
    pieces: readonly LinearRows[],
    own?: { readonly held: WeightTensor } | { readonly name: string },
  ): Promise<Linear> {
    const { in_features, bias: biased, transposed } = pieces[0]!.spec;
    let out = 0;
    const slots = pieces.map(({ spec, order }): ProductSlot => {
      const row = out;
      out += order?.length ?? spec.out_features;
      return { path: spec.path, row, rows: out - row, order };
    });
    const weight =
      own && 'held' in own
        ? own.held
        : await this.product(pieces, slots, in_features, out, transposed, own?.name);
    const bias = biased ? await this.bias(pieces, slots, out) : null;
    const lora = await LoraBlock.of(
      this.ops,
      this.adapters,
      slots,
      in_features,
      out,
      () => weight.tensor,
    );
    if (lora) this.owned.push(lora);
    return { weight, bias, lora };
  }

  private async product(
    pieces: readonly LinearRows[],
    slots: readonly ProductSlot[],
    width: number,
    rows: number,
    transposed: boolean,
    name?: string,
  ): Promise<WeightTensor> {
    const parts = pieces.map(({ spec, order }) => ({
      name: name ?? `${spec.path}.weight`,
      order,
      transposed: spec.transposed,
      frozen: name !== undefined,
    }));
    return this.matrix(
      parts,
      [rows, width],
      TrainedRows.of(this.ops, this.adapters, slots, 'weight', width, transposed),
    );
  }

  /** bf16 comes in pairs: a matrix of an odd number stays f32. */
  private async matrix(
    parts: Parameters<Placements['matrix']>[0],
    shape: readonly [number, number],
    trained: TrainedRows | null,
  ): Promise<WeightTensor> {
    const isHalf = this.half && !trained && elementCount(shape) % 2 === 0;
    const names = parts.map((p) => p.name);
    return isHalf
      ? this.hold(names, await this.placements.halfMatrix(parts, shape[1]), shape, null)
      : this.hold(names, await this.placements.matrix(parts, shape[1]), shape, trained);
  }

  private async bias(
    pieces: readonly LinearRows[],
    slots: readonly ProductSlot[],
    rows: number,
  ): Promise<WeightTensor> {
    const parts = pieces.map(({ spec, order }) => ({ name: `${spec.path}.bias`, order }));
    const data = await this.placements.vector(parts);
    return this.hold(
      parts.map((p) => p.name),
      data,
      [rows],
      TrainedRows.of(this.ops, this.adapters, slots, 'bias', 1),
    );
  }

  private hold(
    names: readonly string[],
    data: Float32Array,
    shape: readonly number[],
    trained: TrainedRows | null,
  ): WeightTensor;
  private hold(
    names: readonly string[],
    data: Float32Array | Uint16Array,
    shape: readonly number[],
    trained: null,
  ): WeightTensor;
  private hold(
    names: readonly string[],
    data: Float32Array | Uint16Array,
    shape: readonly number[],
    trained: TrainedRows | null,
  ): WeightTensor {
    if (data.length !== elementCount(shape)) {
      throw new LoraError(
        'base',
        `The tensor has ${data.length} numbers, ${elementCount(shape)} are needed.`,
        { place: { file: this.base.path, tensor: names[0]! } },
      );
    }
    const { ops, fullOptimizer: training } = this;
    if (trained) return this.keep(trained.hold(data as Float32Array, shape));
    const held = training
      ? training.hold(data as Float32Array, shape)
      : this.keep(new WeightTensor(ops, ops.upload(data, shape), null));
    this.placements.placed(names, held);
    return held;
  }
}

const whole = (spec: LinearSpec): LinearRows => ({ spec, order: null });

/** q, k and v as one product [q rows, k rows, v rows], rotary pairs side by side. */
function queryPieces({
  qkv,
  layout,
  num_heads,
  num_kv_heads,
  head_dim,
  rope,
}: AttentionSpec): LinearRows[] {
  const [q, kv] = [num_heads * head_dim, num_kv_heads * head_dim];
  const paired = (rows: number) => interleavedRows(rows, head_dim, rope?.rotary_dim ?? 0);
  const plain = Int32Array.from({ length: kv }, (_, i) => i);
  const parts = [paired(q), paired(kv), plain];
  if (layout === 'separate')
    return qkv.map((spec, i) => ({ spec, order: i < 2 && rope ? parts[i]! : null }));
  const at =
    layout === 'stacked'
      ? (part: number, row: number) => [0, q, q + kv][part]! + row
      : (part: number, row: number) =>
          (Math.floor(row / head_dim) * 3 + part) * head_dim + (row % head_dim);
  return [
    {
      spec: qkv[0]!,
      order: Int32Array.from(
        parts.flatMap((rows, part) => Array.from(rows, (row) => at(part, row))),
      ),
    },
  ];
}

export const windowKey = ({ window }: AttentionSpec): string => String(window);
export const ropeKey = ({ rope, scale }: AttentionSpec): string => JSON.stringify([rope, scale]);
