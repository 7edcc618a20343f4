import type { AttentionForm, FusedHeadLayout } from './attentionForm';
import type { BlockRows } from './blockRows';
import { bitsOf, describeParts, describeRate, type DropoutForm } from './dropoutForm';
import type { Tensor } from './tensor';
import { intAttr } from './tfBinding';
import type { TfHandles } from './tfHandles';

/** A weight in bf16, or rows of blocks below each other, whose numbers are rounded to bf16. */
export type LayerWeight =
  | { readonly numbers: Tensor; readonly parts: null }
  | { readonly numbers: null; readonly parts: readonly BlockRows[] };

/** A linear layer, and the low-rank factors beside it. */
export interface LayerLinear {
  readonly weight: LayerWeight; // [out, in]
  /** Null: none. `trains`: their gradients are wanted. */
  readonly low: {
    readonly a: Tensor; // [r, in] in f32
    readonly b: Tensor; // [out, r] in f32
    readonly trains: boolean;
    /** Null: none. Only of factors that train. */
    readonly dropout: DropoutForm | null;
  } | null;
}

interface LayerNorm {
  readonly weight: Tensor; // [d]
  readonly eps: number;
}

/**
 * A layer with RMSNorms, rotated heads and SwiGLU: x1 = x + o(attention(qkv(norm(x)))), y = x1 +
 * down(silu(gate(h)) · up(h)) with h = norm(x1).
 */
export interface LayerForm {
  readonly heads: FusedHeadLayout;
  readonly attention: Pick<AttentionForm, 'causal' | 'window' | 'ids'>;
  /** Before attention, and before the MLP. */
  readonly norms: readonly [LayerNorm, LayerNorm];
  /** Of q, k and v; null: none. */
  readonly bias: Tensor | null;
  readonly linears: readonly [
    qkv: LayerLinear,
    o: LayerLinear,
    gate: LayerLinear,
    up: LayerLinear,
    down: LayerLinear,
  ];
}

/** A layer of a pass in one direction. */
export interface RotatedLayer {
  readonly form: LayerForm;
  /** Of the rotation; for the backward pass of the opposite one. */
  readonly table: Tensor;
}

/** What the forward pass of a layer saves, in f32 and in bf16. */
export interface LayerTensors {
  readonly floats: Tensor;
  readonly halves: Tensor;
}

/** What its backward pass reads. */
export interface LayerPass extends LayerTensors {
  readonly x: Tensor; // [n, d]
}

/** Which gradients are wanted besides those of the MLP. */
export interface WantedGradients {
  readonly input: boolean;
  readonly attention: boolean;
}

/**
 * Whole layers, each of which reads what the one before it makes, in one operation, with the
 * numbers of the separate operations of `FusedOps`. Their keys have the same ids. The caller frees
 * every result.
 */
export interface LayerKernels {
  /** x [batch · length, d] in f32 -> each layer's y like x. */
  forward(
    layers: readonly RotatedLayer[],
    x: Tensor,
  ): readonly { readonly y: Tensor; readonly saved: LayerTensors }[];
  /**
   * dy [n, d] of the last layer -> dx of the first one, null unless it is wanted; and of the linear
   * layers whose factors train, in the order of the layers, the numbers of da [r, in] and then of
   * db [r, out], null for none. `wants`: of the first layer; of the others all are wanted.
   */
  backward(
    layers: readonly RotatedLayer[],
    forward: readonly LayerPass[],
    gradient: { readonly dy: Tensor; readonly wants: WantedGradients },
  ): { readonly dx: Tensor | null; readonly gradients: Tensor | null };
}

/** The integers that src/runtime/kernels/trainLayer.cc reads. */
const describe = (
  { heads, attention, norms, linears }: LayerForm,
  wants: WantedGradients,
): number[] => [
  heads.batch,
  heads.num_heads,
  heads.num_kv_heads,
  Number(attention.causal),
  attention.window ?? 0,
  bitsOf(norms[0].eps),
  bitsOf(norms[1].eps),
  Number(wants.input),
  Number(wants.attention),
  ...describeRate(rateOf(linears)),
  ...linears.map(({ low }) => Number(low?.trains ?? false)),
  ...linears.flatMap(({ weight, low }) => [
    ...describeBlocks(weight.parts ?? []),
    ...describeParts(low?.dropout ?? null),
  ]),
];

/** The one rate of all layers that have dropout; 0: none has. */
const rateOf = (linears: readonly LayerLinear[]): number =>
  linears.find(({ low }) => low?.dropout)?.low?.dropout?.rate ?? 0;

/** The widths of all parts are the same. */
const describeBlocks = (parts: readonly BlockRows[]): number[] => [
  parts.length,
  ...parts.slice(0, 1).map(({ width }) => width),
  ...parts.map(({ type }) => type),
];

/** The inputs in f32; `empty`: in place of those that are left out. */
const floatsOf = ({ form, table }: RotatedLayer, empty: Tensor): readonly Tensor[] => [
  table,
  ...[form.norms[0].weight, form.norms[1].weight, form.bias ?? empty],
  ...form.linears.flatMap(({ low }) => [low?.a ?? empty, low?.b ?? empty]),
];

const linearsOf = (layers: readonly RotatedLayer[]): readonly LayerLinear[] =>
  layers.flatMap(({ form }) => form.linears);

const NOTHING = { input: false, attention: false };
const EVERYTHING = { input: true, attention: true };

interface LayersCall {
  readonly op: string;
  readonly layers: readonly RotatedLayer[];
  /** Of the first layer, and of the others. */
  readonly wants: readonly [first: WantedGradients, others: WantedGradients];
  readonly dtypes: readonly ('f32' | 'bf16')[];
}

/** The CPU kernels of src/runtime/kernels/trainLayer.cc. */
export class CpuLayerKernels implements LayerKernels {
  /** `empty`, `emptyIds`: empty tensors of f32 and i32, in place of inputs that are left out. */
  constructor(
    private readonly tf: TfHandles,
    private readonly empty: Tensor,
    private readonly emptyIds: Tensor,
  ) {}

  forward(
    layers: readonly RotatedLayer[],
    x: Tensor,
  ): readonly { readonly y: Tensor; readonly saved: LayerTensors }[] {
    const count = layers.length;
    const dtypes = (['f32', 'f32', 'bf16'] as const).flatMap((dtype) => layers.map(() => dtype));
    const call = { op: 'LoraLayers', layers, wants: [NOTHING, NOTHING] as const, dtypes };
    const results = this.run(call, x, []);
    return layers.map((_, i) => ({
      y: results[i]!,
      saved: { floats: results[count + i]!, halves: results[2 * count + i]! },
    }));
  }

  backward(
    layers: readonly RotatedLayer[],
    forward: readonly LayerPass[],
    { dy, wants }: { readonly dy: Tensor; readonly wants: WantedGradients },
  ): { readonly dx: Tensor | null; readonly gradients: Tensor | null } {
    const dtypes = ['f32', 'f32'] as const;
    const call = { op: 'LoraLayersGrad', layers, wants: [wants, EVERYTHING] as const, dtypes };
    const saved = [
      ...forward.map(({ x }) => x),
      ...forward.map(({ floats }) => floats),
      ...forward.map(({ halves }) => halves),
    ];
    const [dx, gradients] = this.run(call, dy, saved) as [Tensor, Tensor];
    return { dx: this.orNull(dx), gradients: this.orNull(gradients) };
  }

  private run(
    { op, layers, wants, dtypes }: LayersCall,
    x: Tensor,
    saved: readonly Tensor[],
  ): Tensor[] {
    const numbers = layers.flatMap(({ form }, i) => describe(form, wants[i === 0 ? 0 : 1]));
    const description = this.tf.upload(Int32Array.from(numbers), [numbers.length]);
    const floats = layers.flatMap((layer) => floatsOf(layer, this.empty));
    const weights = linearsOf(layers).map(({ weight }) => weight);
    const halves = weights.flatMap((weight) => weight.numbers ?? []);
    const blocks = weights.flatMap((weight) => weight.parts?.map((part) => part.blocks) ?? []);
    const ids = layers[0]?.form.attention.ids ?? this.emptyIds;
    const attrs = [
      ...[intAttr('L', layers.length), intAttr('F', floats.length)],
      ...[intAttr('H', halves.length), intAttr('N', blocks.length)],
    ];
    const inputs = [description, x, ids, ...floats, ...halves, ...blocks, ...saved];
    const results = this.tf.runMany(op, attrs, inputs, dtypes);
    this.tf.free(description);
    return results;
  }

  /** Frees a tensor without numbers. */
  private orNull(x: Tensor): Tensor | null {
    if (x.shape[0] !== 0) return x;
    this.tf.free(x);
    return null;
  }
}
