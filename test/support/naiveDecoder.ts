import * as tf from '@tensorflow/tfjs';
import type {
  AttentionSpec,
  LayerSpec,
  LinearSpec,
  MlpSpec,
  NormSpec,
  Spec,
} from '../../src/formats/architecture/spec';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter } from '../../src/lora/adapter';
import type { LabelledInput } from '../../src/models/model';

interface Factors {
  readonly A: tf.Variable; // [r, in]
  readonly B: tf.Variable; // [out, r]
  readonly scaling: number;
}

/** The numbers of a decoder and its adapter, and the shape of a batch. */
interface Decoder {
  readonly weights: ReadonlyMap<string, tf.Tensor>;
  readonly factors: ReadonlyMap<string, Factors>;
  readonly batch: number;
  readonly length: number;
}

/**
 * The gradients of the adapter by the automatic differentiation of tfjs, on its cpu backend, of a
 * textbook implementation of a Llama-like decoder. The loss is the sum over the labelled tokens.
 */
export async function autodiffGradients(
  base: BaseModel,
  adapter: Adapter,
  input: LabelledInput,
): Promise<{ readonly loss: number; readonly gradients: ReadonlyMap<string, Float32Array> }> {
  await tf.setBackend('cpu');
  const weights = new Map<string, tf.Tensor>();
  for (const { name, shape } of base.weights.tensors.values()) {
    weights.set(name, tf.tensor(await base.weights.readF32(name), [...shape]));
  }
  const factors = new Map(
    adapter.modules.map((m): [string, Factors] => [
      m.path,
      {
        A: tf.variable(tf.tensor(m.A, [m.r, m.in_features])),
        B: tf.variable(tf.tensor(m.B, [m.out_features, m.r])),
        scaling: m.scaling,
      },
    ]),
  );
  const variables = [...factors.values()].flatMap(({ A, B }) => [A, B]);
  const decoder = { weights, factors, batch: input.batch, length: input.length };
  const { value, grads } = tf.variableGrads(() => lossOf(base.spec, decoder, input), variables);
  const gradients = new Map<string, Float32Array>();
  for (const [path, { A, B }] of factors) {
    gradients.set(`base_model.model.${path}.lora_A.weight`, grads[A.name]!.dataSync<'float32'>());
    gradients.set(`base_model.model.${path}.lora_B.weight`, grads[B.name]!.dataSync<'float32'>());
  }
  const [loss] = value.dataSync<'float32'>();
  tf.dispose([value, grads, variables, [...weights.values()]]);
  return { loss: loss!, gradients };
}

function lossOf(spec: Spec, decoder: Decoder, { input_ids, labels }: LabelledInput): tf.Scalar {
  const { embedding, head } = spec;
  if (embedding.kind !== 'tokens' || head.kind !== 'lm') {
    throw new Error('Only language models are implemented.');
  }
  const table = decoder.weights.get(`${embedding.tokens.path}.weight`)!;
  let x = tf.gather(table as tf.Tensor2D, tf.tensor1d(input_ids, 'int32'));
  for (const layer of spec.layers) x = layerOf(layer, x, decoder);
  const h = norm(spec.final_norm!, x, decoder);
  const logits: tf.Tensor2D = head.tied
    ? tf.matMul(h, table, false, true)
    : linear(head.output, h, decoder);
  const { batch, length } = decoder;
  const rows = Array.from({ length: batch * length }, (_, i) => i).filter(
    (i) => (i + 1) % length > 0 && labels[i + 1] !== -100,
  );
  const classes = rows.map((row) => labels[row + 1]!);
  const likelihoods = tf.logSoftmax(tf.gather(logits, rows));
  return tf.neg(tf.sum(likelihoods.mul(tf.oneHot(classes, logits.shape[1])))).asScalar();
}

function layerOf(
  { attention, mlp, norms }: LayerSpec,
  x: tf.Tensor2D,
  decoder: Decoder,
): tf.Tensor2D {
  const x1: tf.Tensor2D = x.add(attend(attention, norm(norms.attention_in!, x, decoder), decoder));
  return x1.add(gatedMlp(mlp, norm(norms.mlp_in!, x1, decoder), decoder));
}

/** SwiGLU */
function gatedMlp(mlp: MlpSpec, h: tf.Tensor2D, decoder: Decoder): tf.Tensor2D {
  if (mlp.kind !== 'gated') throw new Error('Only gated layers are implemented.');
  const gate = linear(mlp.gate, h, decoder);
  const up = linear(mlp.up, h, decoder);
  return linear(mlp.down, gate.mul(tf.sigmoid(gate)).mul(up), decoder);
}

function linear(
  { path, bias }: LinearSpec,
  x: tf.Tensor2D,
  { weights, factors }: Decoder,
): tf.Tensor2D {
  let y: tf.Tensor2D = tf.matMul(x, weights.get(`${path}.weight`) as tf.Tensor2D, false, true);
  if (bias) y = y.add(weights.get(`${path}.bias`)!);
  const lora = factors.get(path);
  if (!lora) return y;
  const A = lora.A as tf.Tensor as tf.Tensor2D;
  const B = lora.B as tf.Tensor as tf.Tensor2D;
  return y.add(tf.matMul(tf.matMul(x, A, false, true), B, false, true).mul(lora.scaling));
}

/** x / √(mean(x²) + eps) · w, over the last axis. */
function norm<T extends tf.Tensor>({ path, eps }: NormSpec, x: T, { weights }: Decoder): T {
  return x
    .div(tf.sqrt(tf.mean(tf.square(x), -1, true).add(eps)))
    .mul(weights.get(`${path}.weight`)!);
}

function attend(spec: AttentionSpec, h: tf.Tensor2D, decoder: Decoder): tf.Tensor2D {
  const { num_heads, num_kv_heads, head_dim, qk_norm, scale, window } = spec;
  const { batch, length } = decoder;
  const [q, k, v] = spec.qkv.map((part, i) => {
    const isValue = i === 2;
    const heads = i === 0 ? num_heads : num_kv_heads;
    const raw = tf.reshape(linear(part, h, decoder), [batch, length, heads, head_dim]);
    const normed = isValue || !qk_norm ? raw : norm(i === 0 ? qk_norm.q : qk_norm.k!, raw, decoder);
    const rotated = isValue ? normed : rotate(normed, spec);
    const byHead = tf.transpose(rotated, [0, 2, 1, 3]) as tf.Tensor4D;
    return i === 0 ? byHead : repeatHeads(byHead, num_heads / num_kv_heads);
  }) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const isVisible = (query: number, key: number) =>
    key <= query && (window === null || query - key < window);
  const mask = Array.from({ length }, (_, query) =>
    Array.from({ length }, (__, key) => (isVisible(query, key) ? 0 : -1e9)),
  );
  const scores = tf.matMul(q, k, false, true).mul(scale);
  const p = tf.softmax(scores.add(tf.tensor2d(mask)));
  const o = tf.transpose(tf.matMul(p, v), [0, 2, 1, 3]);
  return linear(spec.o, o.as2D(batch * length, num_heads * head_dim), decoder);
}

/** Each key/value head serves `times` query heads. */
function repeatHeads(x: tf.Tensor4D, times: number): tf.Tensor {
  const heads = Array.from({ length: x.shape[1] * times }, (_, head) => Math.floor(head / times));
  return tf.gather(x, heads, 1);
}

/** RoPE: rotates the two halves of a head as pairs by position · theta^(-2i/d). */
function rotate(x: tf.Tensor, { rope, head_dim }: AttentionSpec): tf.Tensor {
  const length = x.shape[1]!;
  const half = head_dim / 2;
  const angles = Array.from({ length }, (_, t) =>
    Array.from({ length: half }, (__, i) => t * Math.pow(rope!.theta, (-2 * i) / head_dim)),
  );
  const table = (of: (angle: number) => number) =>
    tf.reshape(tf.tensor2d(angles.map((row) => row.map(of))), [1, length, 1, half]);
  const cos = table(Math.cos);
  const sin = table(Math.sin);
  const [a, b] = tf.split<tf.Tensor>(x, 2, 3) as [tf.Tensor, tf.Tensor];
  return tf.concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], 3);
}
