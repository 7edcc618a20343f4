import type { AttentionSpec, LinearSpec, MixtureSpec, MlpSpec } from '../formats/architecture/spec';
import { interleavedRows } from './attention/rope';
import type { ProductSlot } from './layers/loraBlock';

/** A linear layer within a product, or some of its rows. */
export interface LinearRows {
  readonly spec: LinearSpec;
  /** The layer's row for each row of the product; null: all of them, in their order. */
  readonly order: Int32Array | null;
}

/** All rows of a layer, in their order. */
export const allRows = (spec: LinearSpec): LinearRows => ({ spec, order: null });

/** Where the layers' rows are in their product. */
export function slotsOf(parts: readonly LinearRows[]): ProductSlot[] {
  let next = 0;
  return parts.map(({ spec, order }) => {
    const row = next;
    next += order?.length ?? spec.out_features;
    return { path: spec.path, row, rows: next - row, order };
  });
}

/** The first and the second half of a layer's rows. */
export function halvesOf(spec: LinearSpec): [first: LinearRows, second: LinearRows] {
  const half = spec.out_features / 2;
  const halfAt = (start: number): LinearRows => ({
    spec,
    order: Int32Array.from({ length: half }, (_, i) => start + i),
  });
  return [halfAt(0), halfAt(half)];
}

/** The rows of a layer in turn: the even ones, and the odd ones. */
export function everySecondOf(spec: LinearSpec): [even: LinearRows, odd: LinearRows] {
  const from = (start: number): LinearRows => ({
    spec,
    order: Int32Array.from({ length: spec.out_features / 2 }, (_, i) => start + 2 * i),
  });
  return [from(0), from(1)];
}

/** The rows of gate, if there is one, and of up. */
export function gateAndUpRows(
  spec: Exclude<MlpSpec, MixtureSpec>,
): [gate: LinearRows | null, up: LinearRows] {
  switch (spec.kind) {
    case 'plain':
      return [null, allRows(spec.up)];
    case 'gated':
      return [allRows(spec.gate), allRows(spec.up)];
    case 'gated_fused':
      return halvesOf(spec.gate_up);
  }
}

/** q, k, v and the gate, which follows the query of each head in the layer of queries. */
function withGate(
  [q, k, v]: readonly LinearSpec[],
  [queries, keys]: readonly Int32Array[],
  head_dim: number,
): LinearRows[] {
  const stored = (row: number) => row + Math.floor(row / head_dim) * head_dim;
  return [
    { spec: q!, order: queries!.map(stored) },
    { spec: k!, order: keys! },
    allRows(v!),
    { spec: q!, order: queries!.map((_, row) => stored(row) + head_dim) },
  ];
}

/** q, k and v as one product; the two rows of each rotary pair of q and k become neighbours. */
export function queryKeyValueRows(attention: AttentionSpec): LinearRows[] {
  const { qkv, layout, num_heads, num_kv_heads, head_dim, rope } = attention;
  const queries = num_heads * head_dim;
  const keys = num_kv_heads * head_dim;
  if (attention.convolution) return qkv.map(allRows);
  const halves = rope?.pairs === 'neighbours' ? 0 : (rope?.rotary_dim ?? 0);
  const interleaved = (rows: number) => interleavedRows(rows, head_dim, halves);
  const values = Int32Array.from({ length: keys }, (_, i) => i);
  const orders = [interleaved(queries), interleaved(keys), values];
  if (attention.gated) return withGate(qkv, orders, head_dim);
  if (layout === 'separate') {
    const [, k] = qkv;
    const all = attention.values === 'keys' && k ? [...qkv, k] : qkv;
    return all.map((spec, i) => ({ spec, order: i < 2 && halves > 0 ? orders[i]! : null }));
  }
  const offsets = [0, queries, queries + keys];
  const stackedRow = (part: number, row: number) => offsets[part]! + row;
  const perHeadRow = (part: number, row: number) =>
    (Math.floor(row / head_dim) * 3 + part) * head_dim + (row % head_dim);
  const storedRow = layout === 'stacked' ? stackedRow : perHeadRow;
  const order = orders.flatMap((rows, part) => Array.from(rows, (row) => storedRow(part, row)));
  return [{ spec: qkv[0]!, order: Int32Array.from(order) }];
}
