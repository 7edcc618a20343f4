import type { Spec } from '../../formats/architecture/spec';
import type { Products } from '../../shared/products';
import type { AttentionCache } from '../attention/attentionBranch';
import type { RotaryTable } from '../attention/attention';
import { ropeKey } from '../attention/passContext';
import type { LmHead } from '../heads/lmHead';
import type { Sequence } from '../model';
import { StepForm } from '../ops/stepForm';
import { thenFree, type Ops, type Tensor } from '../ops/ops';
import type { LayerWeights } from './layerWeights';
import type { Linear } from './linear';
import type { Norm } from './norm';
import { hasNoFactor, isPlainLayer, isRms, type LayerWithMlp } from './plainLayer';

/** Most tokens that the fused kernel computes at once. */
const MOST_ROWS = 32;

/** In place of a tensor that a layer lacks. */
const NONE = -1;

/** Tokens that a cache has room for at least, beyond those that it has. */
const LEAST_ROOM = 64;

/** A model whose layers the fused kernel computes. */
interface PlainModel {
  readonly spec: Spec;
  readonly layers: readonly LayerWithMlp[];
  readonly norm: Norm;
  readonly head: LmHead;
}

/** The next tokens of several sequences. */
interface FusedStep {
  readonly ops: Ops;
  readonly products: Products;
  /** Of each layer. */
  readonly tables: ReadonlyMap<string, RotaryTable>;
  readonly sequences: readonly Sequence[];
  /** How many tokens of each sequence. */
  readonly counts: readonly number[];
}

/** The model if the fused kernel computes all of it, else null. */
export function plainModel(
  spec: Spec,
  { layers, norm }: { readonly layers: readonly LayerWeights[]; readonly norm: Norm | null },
  head: LmHead,
): PlainModel | null {
  if (!norm || !isRms(norm) || head.scale !== 1 || !hasNoFactor(head.output)) return null;
  const plain = layers.filter(isPlainLayer);
  const hasRopes = spec.layers.every(({ attention }) => attention.rope !== null);
  return hasRopes && plain.length === layers.length ? { spec, layers: plain, norm, head } : null;
}

/**
 * Logits [m, vocab] before the softcap of x [m, d], which is freed, by one kernel; null for what it
 * does not compute. The caches of the sequences get the tokens.
 */
export function fusedStep(model: PlainModel, step: FusedStep, x: Tensor): Tensor | null {
  const { ops, sequences, counts } = step;
  const { fused } = ops;
  const types = new Set(sequences.flatMap(({ caches }) => caches.map(({ k }) => k.dtype)));
  if (!fused || x.shape[0]! > MOST_ROWS || types.size !== 1) return null;
  sequences.forEach((sequence, i) => reserve(ops, sequence, counts[i]!));
  const caches = model.layers.flatMap((_, i) => sequences.map((own) => own.caches[i]!));
  return thenFree(ops, fused.step(x, formOf(model, step), caches), x);
}

/** Makes room for more tokens; by a half of what is there, so that few tokens make room. */
function reserve(ops: Ops, sequence: Sequence, count: number): void {
  const { length, capacity, caches } = sequence;
  if (length + count <= capacity) return;
  sequence.capacity = length + Math.max(LEAST_ROOM, count, length >> 1);
  const has = Math.max(length, capacity);
  const longer = (x: Tensor) => ops.pad(x, 1, 0, sequence.capacity - has);
  caches.forEach((cache, i) => {
    // both are freed at once: where one cannot be made, the sequence still has the other
    caches[i] = { k: longer(cache.k), v: longer(cache.v) };
    ops.free(cache.k, cache.v);
  });
}

/** Takes away the room for further tokens, for operations on whole tensors. */
export function trimCaches(ops: Ops, sequence: Sequence): void {
  const { length, capacity, caches } = sequence;
  sequence.capacity = 0;
  if (length >= capacity) return;
  caches.forEach((cache, i) => {
    caches[i] = firstTokens(ops, cache, length);
    ops.free(cache.k, cache.v);
  });
}

/** A copy of the first tokens. */
export function firstTokens(ops: Ops, { k, v }: AttentionCache, length: number): AttentionCache {
  const first = (x: Tensor) => ops.slice(x, [0, 0, 0], [x.shape[0]!, length, x.shape[2]!]);
  return { k: first(k), v: first(v) };
}

/** The model as `Form` of src/runtime/kernels/layer.cc reads it. */
function formOf(
  { spec, layers, norm, head }: PlainModel,
  { products, tables, sequences, counts }: FusedStep,
): StepForm {
  const form = new StepForm();
  form.add(products === 'rounded' ? 1 : 0, sequences.length);
  sequences.forEach(({ length }, at) => {
    for (let i = 0; i < counts[at]!; i++) form.add(at, length + i);
  });
  layers.forEach(({ attention, mlp }, i) => {
    const { num_heads, num_kv_heads, window } = spec.layers[i]!.attention;
    const norms = [attention.norm_in!, mlp.norm_in!];
    form.add(num_heads, num_kv_heads, window ?? 0);
    form.addReals(norms.map(({ eps }) => eps));
    form.addNumbers(rotationOf(tables.get(ropeKey(spec.layers[i]!.attention))!));
    for (const own of norms) form.addNumbers(own.scale());
    for (const linear of [attention.qkv, attention.o, mlp.gate!, mlp.up, mlp.down])
      addLinear(form, linear);
  });
  form.addReals([norm.eps]);
  form.addNumbers(norm.scale());
  addLinear(form, head.output);
  return form;
}

function rotationOf(table: RotaryTable): Tensor {
  if (table.kind === 'rotate') return table.forward;
  throw new RangeError('The layer does not rotate its heads.');
}

function addLinear(form: StepForm, { weight, bias, lora }: Linear): void {
  for (const tensor of [bias?.tensor, lora?.A, lora?.B]) {
    if (tensor) form.addNumbers(tensor);
    else form.add(NONE);
  }
  const { quantized } = weight;
  form.add(quantized?.parts.length ?? 1);
  if (!quantized) weight.use((numbers) => form.addMatrix(numbers));
  else for (const { blocks, type } of quantized.parts) form.addBlocks(blocks, type);
}
