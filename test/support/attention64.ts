// Attention and its gradient in f64, straight from the formulas, for tests of the kernels.

export interface AttentionCase {
  readonly batch: number;
  readonly heads: number;
  readonly kv_heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly d: number;
  readonly causal: boolean;
  readonly window: number | null;
  readonly softcap: number | null;
  /** The score of a key without a value, of each head; null: there is none. */
  readonly sinks: readonly number[] | null;
  /** The document of each position, of which a query sees its own; null: there is one. */
  readonly segments: ((position: number) => number) | null;
}

interface AttentionInput {
  readonly q: Float32Array; // [batch, heads, queries, d]
  readonly k: Float32Array; // [batch · kv_heads, keys, d]
  readonly v: Float32Array; // [batch · kv_heads, keys, d]
  readonly dO: Float32Array; // [batch · queries, heads · d]
  readonly isHidden: (key: number) => boolean;
}

interface AttentionResult {
  readonly o: Float64Array; // [batch · queries, heads · d]
  readonly dq: Float64Array;
  readonly dk: Float64Array;
  readonly dv: Float64Array;
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

function addScaled(to: Float64Array, x: ArrayLike<number>, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * x[i]!;
}

/** The queries are the last of the keys. A query that sees no key has the output 0. */
export function attentionIn64(own: AttentionCase, input: AttentionInput): AttentionResult {
  const { batch, heads, queries, keys, d } = own;
  const result = {
    o: new Float64Array(batch * queries * heads * d),
    dq: new Float64Array(input.q.length),
    dk: new Float64Array(input.k.length),
    dv: new Float64Array(input.v.length),
  };
  for (let head = 0; head < batch * heads; head++)
    for (let query = 0; query < queries; query++)
      addQuery(
        own,
        input,
        { head, query, seen: seenBy(own, input, keys - queries + query) },
        result,
      );
  return result;
}

const seenBy = (
  { keys, causal, window, segments }: AttentionCase,
  { isHidden }: AttentionInput,
  at: number,
): number[] =>
  Array.from({ length: keys }, (_, key) => key).filter(
    (key) =>
      !isHidden(key) &&
      (!causal || key <= at) &&
      (window === null || Math.abs(at - key) < window) &&
      (!segments || segments(at) === segments(key)),
  );

interface OneQuery {
  readonly head: number;
  readonly query: number;
  readonly seen: readonly number[];
}

function addQuery(
  { heads, kv_heads, queries, keys, d, softcap, sinks }: AttentionCase,
  { q, k, v, dO }: AttentionInput,
  { head, query, seen }: OneQuery,
  { o, dq, dk, dv }: AttentionResult,
): void {
  const sequence = Math.floor(head / heads);
  const kvHead = Math.floor(head / (heads / kv_heads));
  const at = (head * queries + query) * d;
  const out = ((sequence * queries + query) * heads + (head % heads)) * d;
  const own = <T extends Float32Array | Float64Array>(x: T, key: number) =>
    x.subarray((kvHead * keys + key) * d, (kvHead * keys + key + 1) * d) as T;
  const row = q.subarray(at, at + d);
  const gradient = dO.subarray(out, out + d);
  const raw = seen.map((key) => dot(row, own(k, key)));
  const scores = softcap === null ? raw : raw.map((s) => softcap * Math.tanh(s / softcap));
  const ofSink = sinks ? [sinks[head % heads]!] : [];
  const top = Math.max(...scores, ...ofSink);
  const e = scores.map((s) => Math.exp(s - top));
  const total = [...e, ...ofSink.map((s) => Math.exp(s - top))].reduce((sum, x) => sum + x, 0);
  const p = e.map((x) => x / total);
  const output = o.subarray(out, out + d);
  seen.forEach((key, i) => addScaled(output, own(v, key), p[i]!));
  const mean = dot(gradient, output);
  seen.forEach((key, i) => {
    const slope = softcap === null ? 1 : 1 - (scores[i]! / softcap) ** 2;
    const dS = p[i]! * (dot(gradient, own(v, key)) - mean) * slope;
    addScaled(own(dv, key), gradient, p[i]!);
    addScaled(own(dk, key), row, dS);
    addScaled(dq.subarray(at, at + d), own(k, key), dS);
  });
}
