import type { Products } from '../../shared/products';
import type { BlockForm } from './blockRows';
import { describeParts, describeRate, type DropoutForm } from './dropoutForm';
import type {
  Attended,
  AttentionForm,
  CrossEntropyOutput,
  DroppedGradient,
  FlatMoments,
  FusedHeadLayout,
  FusedOps,
  Heads,
  KeysAndValues,
  LowRankGradient,
  PlacedMatrices,
  ProductForm,
  WeightMoments,
} from './fusedOps';
import { CpuLayerKernels, type LayerKernels } from './layerKernels';
import type { StepForm } from './stepForm';
import type { Precision, Tensor } from './tensor';
import { floatAttr, intAttr, TF_TYPE_OF, typeAttr, type TfAttr } from './tfBinding';
import type { TfHandles } from './tfHandles';

const precisionOf = (x: Tensor): Precision => (x.dtype === 'bf16' ? 'bf16' : 'f32');

/** No attributes: libtensorflow takes the types of inputs from them. Each attribute takes time. */
const OF_INPUTS: readonly TfAttr[] = [];

/** The attribute `name` with the type of an output that no input has. */
const typed = (name: string, dtype: Precision): TfAttr => typeAttr(name, TF_TYPE_OF[dtype]);

const F32_TWICE = ['f32', 'f32'] as const;

const TRANSPOSE_A = intAttr('transpose_a', 1);
const TRANSPOSE_B = intAttr('transpose_b', 1);
const EXACT = intAttr('exact', 1);
const ROUNDED = intAttr('rounded', 1);
const NOT_ROUNDED = intAttr('rounded', 0);

const layoutAttrs = ({ batch, num_heads, num_kv_heads }: FusedHeadLayout): TfAttr[] => [
  intAttr('batch', batch),
  intAttr('heads', num_heads),
  intAttr('kv_heads', num_kv_heads),
];

const blockAttrs = ({ type, width }: BlockForm): TfAttr[] => [
  intAttr('type', type),
  intAttr('width', width),
];

const attentionAttrs = ({ causal, window, softcap }: AttentionForm): TfAttr[] => [
  intAttr('causal', Number(causal)),
  intAttr('window', window ?? 0),
  floatAttr('softcap', softcap ?? 0),
];

/** The value of the attribute `wants` of LoraCrossEntropy. */
const CROSS_ENTROPY_OUTPUT: Readonly<Record<CrossEntropyOutput, number>> = { loss: 0, p: 1, dz: 2 };

/** The place of this answer among those of LoraProcessor. */
const PREFERS_PRODUCT = 1;

type AdapterStep = (vectors: FlatMoments, words: Int32Array) => number;

/** `FusedOps.adapterStep`; null if tensors made of memory of `allocateF32` are copies. */
function adapterStepOf(tf: TfHandles): AdapterStep | null {
  const step: AdapterStep = ({ theta, gradients, exp_avg, exp_avg_sq }, words) => {
    const vectors = [theta, gradients, exp_avg, exp_avg_sq];
    const inputs = [...vectors, words].map((data) => tf.upload(data, [data.length]));
    try {
      const norm = tf.run('LoraAdapterStep', OF_INPUTS, 'i32', ...inputs);
      const { buffer, byteOffset } = tf.read(norm);
      tf.free(norm);
      return new Float64Array(buffer, byteOffset, 1)[0]!;
    } finally {
      tf.free(...inputs);
    }
  };
  const one = () => tf.allocateF32(1).fill(1);
  const vectors = { theta: one(), gradients: one(), exp_avg: one(), exp_avg_sq: one() };
  const norm = step(vectors, new Int32Array(Float64Array.of(1, 0, 0, 0, 0, 0).buffer));
  return norm === 1 && vectors.gradients[0] === 0 ? step : null;
}

/** The CPU kernels of src/runtime/kernels, which the binding registers with libtensorflow. */
export class KernelOps implements FusedOps {
  private readonly empty: Tensor;
  private readonly emptyIds: Tensor;
  readonly layers: LayerKernels | null;

  /** `empty`, `emptyIds`: empty tensors of f32 and i32, in place of inputs that are left out. */
  private constructor(
    private readonly tf: TfHandles,
    { empty, emptyIds }: { readonly empty: Tensor; readonly emptyIds: Tensor },
    readonly prefersProduct: boolean,
    readonly adapterStep: AdapterStep | null,
  ) {
    this.empty = empty;
    this.emptyIds = emptyIds;
    this.layers = prefersProduct ? new CpuLayerKernels(tf, empty, emptyIds) : null;
  }

  /** Null if the binding was compiled without the kernels. */
  static load(tf: TfHandles): KernelOps | null {
    const [empty, emptyIds] = [tf.uncountedEmpty('f32'), tf.uncountedEmpty('i32')];
    try {
      const answers = tf.run('LoraProcessor', [], 'f32');
      const prefersProduct = tf.read(answers)[PREFERS_PRODUCT] === 1;
      tf.free(answers);
      return new KernelOps(tf, { empty, emptyIds }, prefersProduct, adapterStepOf(tf));
    } catch {
      tf.freeUncounted(empty);
      tf.freeUncounted(emptyIds);
      return null;
    }
  }

  product(
    a: Tensor,
    b: Tensor,
    { transposeA, transposeB, dtype, exact, low, residual }: ProductForm,
  ): Tensor {
    const attrs = [typed('V', dtype)];
    if (transposeA) attrs.push(TRANSPOSE_A);
    if (transposeB) attrs.push(TRANSPOSE_B);
    if (exact) attrs.push(EXACT);
    const terms = [low?.p ?? this.empty, low?.q ?? this.empty, residual ?? this.empty];
    return this.tf.run('LoraProduct', attrs, dtype, a, b, ...terms);
  }

  lowGradients({ dy, b, x, xa }: LowRankGradient): {
    readonly dxa: Tensor;
    readonly gradients: Tensor;
  } {
    const inputs = [dy, b, x, xa];
    const [dxa, gradients] = this.tf.runMany('LoraLowGradients', OF_INPUTS, inputs, F32_TWICE);
    return { dxa: dxa!, gradients: gradients! };
  }

  dropped(x: Tensor, a: Tensor, dropout: DropoutForm): Tensor {
    const form = this.uploadDropout(dropout);
    const xa = this.tf.run('LoraDropped', OF_INPUTS, 'f32', form, x, a);
    this.tf.free(form);
    return xa;
  }

  droppedGradients({ dy, b, x, xa, a, dropout, wantsInput }: DroppedGradient): {
    readonly dx: Tensor | null;
    readonly gradients: Tensor;
  } {
    const form = this.uploadDropout(dropout);
    const attrs = wantsInput ? OF_INPUTS : [intAttr('wants', 0)];
    const inputs = [form, dy, b, x, xa, a];
    const [dx, gradients] = this.tf.runMany('LoraDroppedGradients', attrs, inputs, F32_TWICE);
    this.tf.free(form, ...(wantsInput ? [] : [dx!]));
    return { dx: wantsInput ? dx! : null, gradients: gradients! };
  }

  private uploadDropout(dropout: DropoutForm): Tensor {
    const form = Int32Array.of(...describeRate(dropout.rate), ...describeParts(dropout));
    return this.tf.upload(form, [form.length]);
  }

  rms(
    x: Tensor,
    weight: Tensor,
    eps: number,
    dtype: Precision,
  ): { readonly h: Tensor; readonly r: Tensor } {
    const attrs = [typed('T', dtype), floatAttr('eps', eps)];
    const [h, r] = this.tf.runMany('LoraRms', attrs, [x, weight], [dtype, 'f32']);
    return { h: h!, r: r! };
  }

  rmsGrad(
    { x, r }: { readonly x: Tensor; readonly r: Tensor },
    weight: Tensor,
    dh: Tensor,
    residual: Tensor | null,
  ): Tensor {
    const inputs = [x, r, weight, dh, residual ?? this.empty];
    return this.tf.run('LoraRmsGrad', OF_INPUTS, 'f32', ...inputs);
  }

  glu(gate: Tensor, up: Tensor): Tensor {
    return this.tf.run('LoraGlu', OF_INPUTS, precisionOf(gate), gate, up);
  }

  gluGrad(gate: Tensor, up: Tensor, dm: Tensor): [Tensor, Tensor] {
    const dtypes = [gate.dtype, gate.dtype];
    const [dGate, dUp] = this.tf.runMany('LoraGluGrad', OF_INPUTS, [gate, up, dm], dtypes);
    return [dGate!, dUp!];
  }

  sum([a, b, c = this.empty]: readonly Tensor[], dtype: Precision): Tensor {
    if (!a || !b) throw new RangeError('A sum has two or three terms.');
    return this.tf.run('LoraSum', [typed('T', dtype)], dtype, a, b, c);
  }

  convert(x: Tensor, dtype: Precision): Tensor {
    return this.tf.run('LoraConvert', [typed('U', dtype)], dtype, x);
  }

  toHeads(qkv: Tensor, table: Tensor, layout: FusedHeadLayout, dtype: Precision): Heads {
    const attrs = [typed('U', dtype), ...layoutAttrs(layout)];
    const dtypes = [dtype, dtype, dtype];
    const [q, k, v] = this.tf.runMany('LoraToHeads', attrs, [qkv, table], dtypes);
    return { q: q!, k: k!, v: v! };
  }

  fromHeads({ q, k, v }: Heads, table: Tensor, layout: FusedHeadLayout, dtype: Precision): Tensor {
    const attrs = [typed('U', dtype), ...layoutAttrs(layout)];
    return this.tf.run('LoraFromHeads', attrs, dtype, q, k, v, table);
  }

  softmax(scores: Tensor, mask: Tensor | null): Tensor {
    const inputs = [scores, mask ?? this.empty];
    return this.tf.run('LoraSoftmax', OF_INPUTS, precisionOf(scores), ...inputs);
  }

  softmaxGrad(p: Tensor, dp: Tensor, d: Tensor): Tensor {
    return this.tf.run('LoraSoftmaxGrad', OF_INPUTS, precisionOf(p), p, dp, d);
  }

  rowDots(a: Tensor, b: Tensor, heads: number): Tensor {
    const attrs = [intAttr('heads', heads)];
    return this.tf.run('LoraRowDots', attrs, 'f32', a, b);
  }

  fewRows(x: Tensor, weight: Tensor, products: Products = 'exact'): Tensor {
    return this.tf.run('LoraFewRows', products === 'rounded' ? [ROUNDED] : [], 'f32', x, weight);
  }

  dequantize(blocks: readonly Tensor[], form: BlockForm, dtype: Precision): Tensor {
    const attrs = [typed('T', dtype), ...blockAttrs(form), intAttr('N', blocks.length)];
    return this.tf.run('LoraDequantize', attrs, dtype, ...blocks);
  }

  fewRowsOfBlocks(
    x: Tensor,
    blocks: Tensor,
    form: BlockForm,
    products: Products = 'exact',
  ): Tensor {
    const attrs = [...blockAttrs(form), products === 'rounded' ? ROUNDED : NOT_ROUNDED];
    return this.tf.run('LoraFewRowsOfBlocks', attrs, 'f32', x, blocks);
  }

  step(
    x: Tensor,
    { numbers, f32, bf16, blocks }: StepForm,
    caches: readonly KeysAndValues[],
  ): Tensor {
    const [{ k: first }] = caches as [KeysAndValues];
    const attrs = [
      typed('T', precisionOf(first)),
      ...[intAttr('F', f32.length), intAttr('H', bf16.length)],
      ...[intAttr('Q', blocks.length), intAttr('N', caches.length)],
    ];
    const form = this.tf.upload(Int32Array.from(numbers), [numbers.length]);
    const keys = caches.map(({ k }) => k);
    const values = caches.map(({ v }) => v);
    const inputs = [x, form, ...f32, ...bf16, ...blocks, ...keys, ...values];
    const logits = this.tf.run('LoraStep', attrs, 'f32', ...inputs);
    this.tf.free(form);
    return logits;
  }

  attendOne(q: Tensor, k: Tensor, v: Tensor): Tensor {
    return this.tf.run('LoraAttendOne', OF_INPUTS, precisionOf(q), q, k, v);
  }

  attend({ q, k, v }: Heads, form: AttentionForm): Attended {
    const attrs = attentionAttrs(form);
    const inputs = [q, k, v, form.ids ?? this.emptyIds, form.sinks ?? this.empty];
    const [o, stats] = this.tf.runMany('LoraAttend', attrs, inputs, [q.dtype, 'f32']);
    return { o: o!, stats: stats! };
  }

  attendGrad({ q, k, v }: Heads, form: AttentionForm, { o, stats }: Attended, dO: Tensor): Heads {
    const attrs = attentionAttrs(form);
    const inputs = [q, k, v, form.ids ?? this.emptyIds, o, stats, dO];
    const dtypes = [q.dtype, q.dtype, q.dtype];
    const [dq, dk, dv] = this.tf.runMany('LoraAttendGrad', attrs, inputs, dtypes);
    return { q: dq!, k: dk!, v: dv! };
  }

  weigh(
    z: Tensor,
    temperatures: readonly number[],
    width: number,
  ): { readonly largest: Tensor; readonly sums: Tensor } {
    const halves = new Int32Array(Float64Array.from(temperatures).buffer);
    const given = this.tf.upload(halves, [temperatures.length, 2]);
    const attrs = [intAttr('width', width)];
    const [largest, sums] = this.tf.runMany('LoraWeigh', attrs, [z, given], F32_TWICE);
    this.tf.free(given);
    return { largest: largest!, sums: sums! };
  }

  crossEntropy(
    z: Tensor,
    labels: Tensor,
    wanted: CrossEntropyOutput,
  ): { readonly p: Tensor | null; readonly loss: Tensor } {
    const attrs = [intAttr('wants', CROSS_ENTROPY_OUTPUT[wanted])];
    const [p, loss] = this.tf.runMany('LoraCrossEntropy', attrs, [z, labels], [z.dtype, 'f32']);
    if (wanted !== 'loss') return { p: p!, loss: loss! };
    this.tf.free(p!);
    return { p: null, loss: loss! };
  }

  adamw({ theta, exp_avg, exp_avg_sq }: WeightMoments, gradient: Tensor, step: Tensor): void {
    const inputs = [theta, gradient, exp_avg, exp_avg_sq, step];
    this.tf.free(this.tf.run('LoraAdamW', [], 'f32', ...inputs));
  }

  writeFactors(theta: Float32Array, words: Int32Array, blocks: readonly PlacedMatrices[]): void {
    const inputs = [theta, words].map((data) => this.tf.upload(data, [data.length]));
    const matrices = [...blocks.map(({ A }) => A), ...blocks.map(({ B }) => B)];
    const orders = blocks.map(({ order }) => order ?? this.emptyIds);
    const attrs = [intAttr('N', blocks.length)];
    try {
      this.tf.free(
        this.tf.run('LoraWriteFactors', attrs, 'f32', ...inputs, ...matrices, ...orders),
      );
    } finally {
      this.tf.free(...inputs);
    }
  }

  columnSums(x: Tensor, y: Tensor = this.empty): Tensor {
    return this.tf.run('LoraColumnSums', OF_INPUTS, 'f32', x, y);
  }
}
