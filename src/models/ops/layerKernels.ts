import type { AttentionForm, FusedHeadLayout } from './attentionForm';
import type { BlockRows } from './blockRows';
import { bitsOf, describeParts, describeRate, type DropoutForm } from './dropoutForm';
import type { Tensor } from './tensor';
import { intAttr, type TfAttr } from './tfBinding';
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

/** What the forward pass saves, in f32 and in bf16. */
export interface LayerTensors {
  readonly floats: Tensor;
  readonly halves: Tensor;
}

/** Which gradients are wanted besides those of the MLP. */
export interface WantedGradients {
  readonly input: boolean;
  readonly attention: boolean;
}

/**
 * Whole layers in one operation, with the numbers of the separate operations of `FusedOps`. The
 * caller frees every result.
 */
export interface LayerKernels {
  /** x [batch · length, d] in f32 -> y like x. `table`: of the rotation. */
  forward(
    form: LayerForm,
    table: Tensor,
    x: Tensor,
  ): { readonly y: Tensor; readonly saved: LayerTensors };
  /**
   * dy [n, d] -> dx, null unless it is wanted; and of the linear layers whose factors train the
   * numbers of da [r, in] and then of db [r, out], null for none. `table`: of the opposite
   * rotation.
   */
  backward(
    form: LayerForm,
    table: Tensor,
    forward: LayerTensors & { readonly x: Tensor },
    gradient: { readonly dy: Tensor; readonly wants: WantedGradients },
  ): { readonly dx: Tensor | null; readonly gradients: Tensor | null };
}

/** The integers that src/runtime/kernels/trainLayer.cc reads. */
const describe = (
  { heads, attention, norms, linears }: LayerForm,
  wants: WantedGradients,
): Int32Array =>
  Int32Array.of(
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
  );

/** The one rate of all layers that have dropout; 0: none has. */
const rateOf = (linears: readonly LayerLinear[]): number =>
  linears.find(({ low }) => low?.dropout)?.low?.dropout?.rate ?? 0;

/** The widths of all parts are the same. */
const describeBlocks = (parts: readonly BlockRows[]): number[] => [
  parts.length,
  ...parts.slice(0, 1).map(({ width }) => width),
  ...parts.map(({ type }) => type),
];

/** The inputs that hold weights, and how many of each kind there are, unless all are in bf16. */
function weightsOf({ linears }: LayerForm): {
  readonly tensors: readonly Tensor[];
  readonly attrs: readonly TfAttr[];
} {
  const numbers = linears.flatMap(({ weight }) => weight.numbers ?? []);
  if (numbers.length === linears.length) return { tensors: numbers, attrs: [] };
  const blocks = linears.flatMap(({ weight }) => weight.parts?.map((part) => part.blocks) ?? []);
  const attrs = [intAttr('H', numbers.length), intAttr('N', blocks.length)];
  return { tensors: [...numbers, ...blocks], attrs };
}

const F32_F32_BF16 = ['f32', 'f32', 'bf16'] as const;
const F32_TWICE = ['f32', 'f32'] as const;
const NOTHING = { input: false, attention: false };

interface LayerCall {
  readonly op: string;
  readonly form: LayerForm;
  readonly wants: WantedGradients;
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
    form: LayerForm,
    table: Tensor,
    x: Tensor,
  ): { readonly y: Tensor; readonly saved: LayerTensors } {
    const call = { op: 'LoraLayer', form, wants: NOTHING, dtypes: F32_F32_BF16 };
    const [y, floats, halves] = this.run(call, [x, table], []) as [Tensor, Tensor, Tensor];
    return { y, saved: { floats, halves } };
  }

  backward(
    form: LayerForm,
    table: Tensor,
    { x, floats, halves }: LayerTensors & { readonly x: Tensor },
    { dy, wants }: { readonly dy: Tensor; readonly wants: WantedGradients },
  ): { readonly dx: Tensor | null; readonly gradients: Tensor | null } {
    const call = { op: 'LoraLayerGrad', form, wants, dtypes: F32_TWICE };
    const saved = [floats, halves, dy];
    const [dx, gradients] = this.run(call, [x, table], saved) as [Tensor, Tensor];
    return { dx: this.orNull(dx), gradients: this.orNull(gradients) };
  }

  private run(
    { op, form, wants, dtypes }: LayerCall,
    first: readonly [x: Tensor, table: Tensor],
    saved: readonly Tensor[],
  ): Tensor[] {
    const { empty } = this;
    const { attention, norms, bias, linears } = form;
    const numbers = describe(form, wants);
    const description = this.tf.upload(numbers, [numbers.length]);
    const { tensors, attrs } = weightsOf(form);
    const inputs = [
      ...[description, ...first, attention.ids ?? this.emptyIds],
      ...[norms[0].weight, norms[1].weight, bias ?? empty],
      ...linears.flatMap(({ low }) => [low?.a ?? empty, low?.b ?? empty]),
      ...saved,
      ...tensors,
    ];
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
