import * as tf from '@tensorflow/tfjs';
import type {
  AttentionSpec,
  LinearSpec,
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

/**
 * A Llama-like decoder as a textbook has it, in tfjs' own ops on its cpu backend: what its tape
 * says of the adapter's gradients. Sum of the losses over the labelled tokens.
 */
export async function tapeGradients(
  base: BaseModel,
  adapter: Adapter,
  input: LabelledInput,
): Promise<{ readonly loss: number; readonly gradients: ReadonlyMap<string, Float32Array> }> {
  await tf.setBackend('cpu');
  const weights = new Map<string, tf.Tensor>();
  for (const { name, shape } of base.weights.tensors.values())
    weights.set(name, tf.tensor(await base.weights.readF32(name), [...shape]));
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
  const { value, grads } = tf.variableGrads(
    () => lossOf(base.spec, weights, factors, input),
    variables,
  );
  const gradients = new Map<string, Float32Array>();
  for (const [path, { A, B }] of factors) {
    gradients.set(`base_model.model.${path}.lora_A.weight`, grads[A.name]!.dataSync<'float32'>());
    gradients.set(`base_model.model.${path}.lora_B.weight`, grads[B.name]!.dataSync<'float32'>());
  }
  const [loss] = value.dataSync<'float32'>();
  tf.dispose([value, grads, variables, [...weights.values()]]);
  return { loss: loss!, gradients };
}

type Weights = ReadonlyMap<string, tf.Tensor>;
type All = ReadonlyMap<string, Factors>;

function lossOf(
  spec: Spec,
  weights: Weights,
  factors: All,
  { batch, length, input_ids, labels }: LabelledInput,
): tf.Scalar {
  const { embedding, head } = spec;
  if (embedding.kind !== 'tokens' || head.kind !== 'lm')
    throw new Error('Only language models are written out.');
  const table = weights.get(`${embedding.tokens.path}.weight`)!;
  let x = tf.gather(table as tf.Tensor2D, tf.tensor1d(input_ids, 'int32'));
  for (const { attention, mlp, norms } of spec.layers) {
    x = x.add(
      attend(attention, norm(norms.attention_in!, x, weights), weights, factors, batch, length),
    );
    const h = norm(norms.mlp_in!, x, weights);
    if (mlp.kind !== 'gated') throw new Error('Only gated layers are written out.');
    const gate = linear(mlp.gate, h, weights, factors);
    x = x.add(
      linear(
        mlp.down,
        gate.mul(tf.sigmoid(gate)).mul(linear(mlp.up, h, weights, factors)),
        weights,
        factors,
      ),
    );
  }
  const h = norm(spec.final_norm!, x, weights);
  const logits: tf.Tensor2D = head.tied
    ? tf.matMul(h, table, false, true)
    : linear(head.output, h, weights, factors);
  const rows = Array.from({ length: batch * length }, (_, i) => i).filter(
    (i) => (i + 1) % length > 0 && labels[i + 1] !== -100,
  );
  const wanted = rows.map((row) => labels[row + 1]!);
  const picked = tf.logSoftmax(tf.gather(logits, rows)).mul(tf.oneHot(wanted, logits.shape[1]));
  return tf.neg(tf.sum(picked)).asScalar();
}

function linear(
  { path, bias }: LinearSpec,
  x: tf.Tensor2D,
  weights: Weights,
  factors: All,
): tf.Tensor2D {
  const own = factors.get(path);
  let y: tf.Tensor2D = tf.matMul(x, weights.get(`${path}.weight`) as tf.Tensor2D, false, true);
  if (bias) y = y.add(weights.get(`${path}.bias`)!);
  return own
    ? y.add(
        tf
          .matMul(
            tf.matMul(x, own.A as tf.Tensor as tf.Tensor2D, false, true),
            own.B as tf.Tensor as tf.Tensor2D,
            false,
            true,
          )
          .mul(own.scaling),
      )
    : y;
}

/** x / √(mean(x²) + eps) · w, over the last axis. */
function norm<T extends tf.Tensor>({ path, eps }: NormSpec, x: T, weights: Weights): T {
  return x
    .div(tf.sqrt(tf.mean(tf.square(x), -1, true).add(eps)))
    .mul(weights.get(`${path}.weight`)!);
}

function attend(
  spec: AttentionSpec,
  h: tf.Tensor2D,
  weights: Weights,
  factors: All,
  batch: number,
  length: number,
): tf.Tensor2D {
  const { num_heads, num_kv_heads, head_dim, qk_norm, scale, window } = spec;
  const [q, k, v] = spec.qkv.map((part, i) => {
    const heads = i === 0 ? num_heads : num_kv_heads;
    const apart = tf.reshape(linear(part, h, weights, factors), [batch, length, heads, head_dim]);
    const own = i === 2 || !qk_norm ? apart : norm(i === 0 ? qk_norm.q : qk_norm.k, apart, weights);
    const turned = i === 2 ? own : rotate(own, spec);
    const byHead = tf.transpose(turned, [0, 2, 1, 3]);
    return i === 0 ? byHead : repeated(byHead as tf.Tensor4D, num_heads / num_kv_heads);
  }) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const sees = Array.from({ length }, (_, t) =>
    Array.from({ length }, (__, s) => (s <= t && (window === null || t - s < window) ? 0 : -1e9)),
  );
  const p = tf.softmax(tf.matMul(q, k, false, true).mul(scale).add(tf.tensor2d(sees)));
  const together = tf
    .transpose(tf.matMul(p, v), [0, 2, 1, 3])
    .as2D(batch * length, num_heads * head_dim);
  return linear(spec.o, together, weights, factors);
}

/** Each key/value head serves so many query heads. */
function repeated(x: tf.Tensor4D, times: number): tf.Tensor {
  return tf.gather(
    x,
    Array.from({ length: x.shape[1] * times }, (_, head) => Math.floor(head / times)),
    1,
  );
}

/** The two halves of a head turn as a pair by position · theta^(-2i/d). */
function rotate(x: tf.Tensor, { rope, head_dim }: AttentionSpec): tf.Tensor {
  const length = x.shape[1]!;
  const half = head_dim / 2;
  const angles = Array.from({ length }, (_, t) =>
    Array.from({ length: half }, (__, i) => t * Math.pow(rope!.theta, (-2 * i) / head_dim)),
  );
  const table = (of: (angle: number) => number) =>
    tf.reshape(tf.tensor2d(angles.map((row) => row.map(of))), [1, length, 1, half]);
  const [cos, sin] = [table(Math.cos), table(Math.sin)];
  const [a, b] = tf.split<tf.Tensor>(x, 2, 3) as [tf.Tensor, tf.Tensor];
  return tf.concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], 3);
}
