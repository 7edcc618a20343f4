import type { Products } from '../../shared/products';
import type { AttentionForm, FusedHeadLayout } from './attentionForm';
import type { BlockForm } from './blockRows';
import type { DropoutForm } from './dropoutForm';
import type { LayerKernels } from './layerKernels';
import type { StepForm } from './stepForm';
import type { Precision, Tensor } from './tensor';

export type { AttentionForm, FusedHeadLayout } from './attentionForm';

/**
 * Queries [batch, heads, length, head_dim]; keys and values [batch · kv_heads, length, head_dim].
 */
export interface Heads {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Of one sequence, with room for more tokens. */
export type KeysAndValues = Pick<Heads, 'k' | 'v'>; // [kv_heads, capacity, head_dim]

/** A weight and AdamW's moments of its gradient, of one size. */
export interface WeightMoments {
  readonly theta: Tensor;
  readonly exp_avg: Tensor;
  readonly exp_avg_sq: Tensor;
}

/** All trained numbers of an adapter, their gradients and AdamW's two moments, of one length. */
export interface FlatMoments {
  readonly theta: Float32Array;
  readonly gradients: Float32Array;
  readonly exp_avg: Float32Array;
  readonly exp_avg_sq: Float32Array;
}

/** What is added to a product [m, n], in f32. */
export interface ProductTerms {
  /** A second product: p [m, r], and q in the form of b. */
  readonly low?: { readonly p: Tensor; readonly q: Tensor } | null;
  readonly residual?: Tensor | null; // [m, n]
}

/** How the operands of a product are read, and in which precision it is. */
export interface ProductForm extends ProductTerms {
  /** Whether a is there as [k, m]. Default: false. */
  readonly transposeA?: boolean;
  /** Whether b is there as [n, k], and q as [n, r]. Default: false. */
  readonly transposeB?: boolean;
  /** Of the result. */
  readonly dtype: Precision;
  /** Multiply numbers of f32, even where b is in bf16. Default: false. */
  readonly exact?: boolean;
}

/** What the gradients of a low-rank update are computed from. */
export interface LowRankGradient {
  readonly dy: Tensor; // [m, out]
  readonly b: Tensor; // [out, r] in f32
  readonly x: Tensor; // [m, in]
  readonly xa: Tensor; // [m, r] in f32
}

/** The same with dropout. */
export interface DroppedGradient extends LowRankGradient {
  readonly a: Tensor; // [r, in] in f32
  readonly dropout: DropoutForm;
  /** Whether the gradient of x is wanted. */
  readonly wantsInput: boolean;
}

/** What the gradient of attention needs of its forward pass. */
export interface Attended {
  readonly o: Tensor; // [batch · queries, heads · d]
  /** Of each query the largest score, and the inverse of the sum. */
  readonly stats: Tensor; // [batch, heads, queries, 2] in f32
}

/**
 * What a transformer computes between its products, each in one pass over memory. On a backend
 * without these, several `Ops` compute the same. The caller frees every result.
 */
export interface FusedOps {
  /**
   * Whether `product` takes less time than libtensorflow's products where b is in bf16, as measured
   * on processors that multiply pairs of bf16.
   */
  readonly prefersProduct: boolean;
  /** Null where `product` is not preferred: its numbers are theirs. */
  readonly layers: LayerKernels | null;
  /**
   * a b + p q + residual: a [m, k], b [k, n]. With b in bf16 and unless `exact`, a is rounded to
   * bf16, and so is a b, which is summed in f32: the numbers are those of separate operations.
   */
  product(a: Tensor, b: Tensor, form: ProductForm): Tensor;
  /**
   * Of a linear layer y = x Wᵀ + xa bᵀ with xa = x aᵀ: dxa = dy b, and the numbers of da = dxaᵀ x
   * [r, in] and then of db = xaᵀ dy [r, out]. Multiplies numbers of f32.
   */
  lowGradients(layer: LowRankGradient): { readonly dxa: Tensor; readonly gradients: Tensor };
  /**
   * xa = dropped(x) aᵀ [m, r], with a mask for each part of a [r, in]; x [m, in] in f32 or bf16.
   * Multiplies numbers of f32.
   */
  dropped(x: Tensor, a: Tensor, dropout: DropoutForm): Tensor;
  /**
   * `lowGradients` with dropout: dx is the sum of mask · (dxa a) over the parts [m, in], null
   * unless it is wanted, and da is of what was left of x.
   */
  droppedGradients(layer: DroppedGradient): {
    readonly dx: Tensor | null;
    readonly gradients: Tensor;
  };
  /** RMSNorm: h = x · r · weight, r = 1 / √(mean(x²) + eps); x [n, d] in f32, h in `dtype`. */
  rms(
    x: Tensor,
    weight: Tensor,
    eps: number,
    dtype: Precision,
  ): { readonly h: Tensor; readonly r: Tensor };
  /**
   * dx = r · g - x · r³ · mean(g · x) + residual with g = dh · weight, for x [n, d] and r [n, 1] as
   * `rms` returns it.
   */
  rmsGrad(
    forward: { readonly x: Tensor; readonly r: Tensor },
    weight: Tensor,
    dh: Tensor,
    residual: Tensor | null,
  ): Tensor;
  /** SwiGLU (Shazeer 2020): silu(gate) · up; both have one type, which the result has too. */
  glu(gate: Tensor, up: Tensor): Tensor;
  /** Gradients of gate and up. */
  gluGrad(gate: Tensor, up: Tensor, dm: Tensor): [dGate: Tensor, dUp: Tensor];
  /** Sum of two or three tensors of one size. @throws RangeError for fewer than two. */
  sum(terms: readonly Tensor[], dtype: Precision): Tensor;
  convert(x: Tensor, dtype: Precision): Tensor;
  /**
   * Cuts rows of q, k and v [batch · length, (heads + 2 kv_heads) · head_dim] into heads of
   * `dtype`, and rotates q and k by a table of `buildRotaryTable`.
   */
  toHeads(qkv: Tensor, table: Tensor, layout: FusedHeadLayout, dtype: Precision): Heads;
  /** The inverse of `toHeads`, given the table of the opposite rotation. */
  fromHeads(heads: Heads, table: Tensor, layout: FusedHeadLayout, dtype: Precision): Tensor;
  /**
   * softmax(scores + mask): scores [batch · kv_heads, group · rows, keys], mask [1 or batch, 1,
   * rows, keys].
   */
  softmax(scores: Tensor, mask: Tensor | null): Tensor;
  /** p · (dp - d), with one d per row. */
  softmaxGrad(p: Tensor, dp: Tensor, d: Tensor): Tensor;
  /** Dot products of the rows of each head: [n, heads · d] twice -> [n, heads]. */
  rowDots(a: Tensor, b: Tensor, heads: number): Tensor;
  /**
   * x Wᵀ in f32 for few rows: x [m, in] in f32, weight [out, in] in f32 or bf16. rounded: x is
   * rounded to bf16 if the weight has this type and the processor multiplies it. Default: exact.
   */
  fewRows(x: Tensor, weight: Tensor, products?: Products): Tensor;
  /**
   * Of each `width` neighbouring logits z [m, vocab] the largest [m, blocks], and the sums of
   * exp((z - the row's largest) / temperature) as the bits of float64 [m, blocks, 2]. The
   * temperatures are those of the rows, at 0 the sums are 0.
   */
  weigh(
    z: Tensor,
    temperatures: readonly number[],
    width: number,
  ): { readonly largest: Tensor; readonly sums: Tensor };
  /** Rows of blocks [rows, words] in i32 -> [rows, width]: the values of quantized weights. */
  dequantize(blocks: readonly Tensor[], form: BlockForm, dtype: Precision): Tensor;
  /** `fewRows` for a weight in blocks [out, words], with its values in f32. */
  fewRowsOfBlocks(x: Tensor, blocks: Tensor, form: BlockForm, products?: Products): Tensor;
  /**
   * The next tokens of some sequences through all layers and the output layer, x [m, d] -> logits
   * [m, vocab]; with the numbers of the other operations. Writes the keys and values of the tokens
   * into the caches, of each layer those of all sequences: nothing else may read them meanwhile.
   */
  step(x: Tensor, form: StepForm, caches: readonly KeysAndValues[]): Tensor;
  /**
   * softmax(q kᵀ) v of one query per head: q [batch, heads, 1, d], k and v [batch · kv_heads, keys,
   * d] -> [batch, heads · d].
   */
  attendOne(q: Tensor, k: Tensor, v: Tensor): Tensor;
  /**
   * softmax(q kᵀ) v by blocks, without the array of all scores: q [batch, heads, queries, d], k and
   * v [batch · kv_heads, keys, d]; the queries are the last of the keys.
   */
  attend(heads: Heads, form: AttentionForm): Attended;
  /** Gradients of the heads for dO like o, and of its type. */
  attendGrad(heads: Heads, form: AttentionForm, attended: Attended, dO: Tensor): Heads;
  /**
   * loss = log(sum(exp z)) - z[label] of each row of z [n, vocab], and depending on `wanted`
   * in `p`: null, softmax(z), or the gradient of the loss dz = softmax(z) - onehot(label).
   */
  crossEntropy(
    z: Tensor,
    labels: Tensor,
    wanted: CrossEntropyOutput,
  ): { readonly p: Tensor | null; readonly loss: Tensor };
  /**
   * One step of AdamW. Changes the weight and its moments in place: nothing else may read them
   * meanwhile. `step`: see `stepTensors`.
   */
  adamw(weight: WeightMoments, gradient: Tensor, step: Tensor): void;
  /**
   * A step of all numbers of an adapter: see `stepAdapter`, with the same bytes. `words`: see
   * `wordsOf`. Changes the vectors, which are of `allocateHostF32`, in place, and returns the norm.
   * Null where they cannot be changed in place.
   */
  readonly adapterStep: ((vectors: FlatMoments, words: Int32Array) => number) | null;
  /**
   * Writes numbers of `theta`, scaled, into the factors of blocks, in place: nothing else may read
   * them meanwhile. `words`: see `WrittenFactors`.
   */
  writeFactors(theta: Float32Array, words: Int32Array, blocks: readonly PlacedMatrices[]): void;
  /** Sums in f64 of the columns of x [n, d], or of x · y where there is a y -> [1, d] in f32. */
  columnSums(x: Tensor, y?: Tensor): Tensor;
}

/** The factors of a block. */
export interface PlacedMatrices {
  readonly A: Tensor; // [ranks, in]
  readonly B: Tensor; // [out, ranks], scaled
  /** Of each row of B the row in its own module; null: in turn. [out] in i32 */
  readonly order: Tensor | null;
}

export type CrossEntropyOutput = 'loss' | 'p' | 'dz';
