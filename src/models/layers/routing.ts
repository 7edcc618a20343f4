/**
 * Which experts compute which rows: pairs of both, those of the first expert first. Each row has
 * `top_k` of them.
 */
export interface Routes {
  /** Probabilities of all experts, by the router. [m, experts] */
  readonly probabilities: Float32Array;
  /** The experts that any row has, and their pairs. */
  readonly chosen: readonly ChosenExpert[];
  /** Of each pair. [m · top_k] */
  readonly rows: Int32Array;
  readonly experts: Int32Array;
  readonly weights: Float32Array;
  /** The weights without the experts' factors. */
  readonly shares: Float32Array;
  /** The pairs of each row: the first ones of all rows, the second ones, ... [top_k][m] */
  readonly pairs: readonly Int32Array[];
}

export interface ChosenExpert {
  readonly expert: number;
  readonly start: number;
  readonly count: number;
}

export interface RoutingSettings {
  readonly num_experts: number;
  readonly top_k: number;
  /** Whether the weights of a row's experts are divided by their sum. */
  readonly normalises: boolean;
  /** A factor of each expert's weight; null: none. */
  readonly scales: Float32Array | null;
}

/** Of each row the most probable experts; of equal ones, the first. */
export function routesOf(probabilities: Float32Array, settings: RoutingSettings): Routes {
  const { num_experts, top_k } = settings;
  const m = probabilities.length / num_experts;
  const rowsOf = Array.from({ length: num_experts }, (): number[] => []);
  for (let row = 0; row < m; row++) {
    const own = probabilities.subarray(row * num_experts, (row + 1) * num_experts);
    for (const expert of mostProbable(own, top_k)) rowsOf[expert]!.push(row);
  }
  const rows = Int32Array.from(rowsOf.flat());
  const experts = new Int32Array(rows.length);
  const chosen: ChosenExpert[] = [];
  let start = 0;
  for (const [expert, { length: count }] of rowsOf.entries()) {
    if (count > 0) chosen.push({ expert, start, count });
    experts.fill(expert, start, start + count);
    start += count;
  }
  const pairs = pairsOf(rows, m, top_k);
  const own = Float32Array.from(
    rows,
    (row, pair) => probabilities[row * num_experts + experts[pair]!]!,
  );
  const shares = settings.normalises ? normalised(own, pairs) : own;
  const { scales } = settings;
  const weights = scales ? shares.map((share, pair) => share * scales[experts[pair]!]!) : shares;
  return { probabilities, chosen, rows, experts, weights, shares, pairs };
}

function mostProbable(probabilities: Float32Array, top_k: number): number[] {
  const order = Array.from(probabilities, (_, expert) => expert);
  order.sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  return order.slice(0, top_k);
}

function pairsOf(rows: Int32Array, m: number, top_k: number): Int32Array[] {
  const pairs = Array.from({ length: top_k }, () => new Int32Array(m));
  const found = new Int32Array(m);
  rows.forEach((row, pair) => (pairs[found[row]!++]![row] = pair));
  return pairs;
}

/** Each row's weights, divided by their sum. */
function normalised(weights: Float32Array, pairs: readonly Int32Array[]): Float32Array {
  const result = weights.slice();
  for (let row = 0; row < pairs[0]!.length; row++) {
    const sum = pairs.reduce((total, of) => total + weights[of[row]!]!, 0);
    for (const of of pairs) result[of[row]!]! /= sum;
  }
  return result;
}

/** The gradient of the router's outputs [m, experts] for that of each pair's weight. */
export function routerGradient(
  { probabilities, rows, experts, shares: weights, pairs }: Routes,
  ofWeights: Float32Array,
  { num_experts, normalises, scales }: RoutingSettings,
): Float32Array {
  const dWeights = scales ? ofWeights.map((d, pair) => d * scales[experts[pair]!]!) : ofWeights;
  const gradient = new Float32Array(probabilities.length);
  for (let row = 0; row < pairs[0]!.length; row++) {
    const own = pairs.map((of) => of[row]!);
    const at = (pair: number) => rows[pair]! * num_experts + experts[pair]!;
    const mean = own.reduce((sum, pair) => sum + dWeights[pair]! * weights[pair]!, 0);
    // normalised, the weights are a softmax of the chosen outputs alone
    if (normalises) {
      for (const pair of own) gradient[at(pair)] = weights[pair]! * (dWeights[pair]! - mean);
      continue;
    }
    const first = row * num_experts;
    for (let i = first; i < first + num_experts; i++) gradient[i] = -probabilities[i]! * mean;
    for (const pair of own) gradient[at(pair)]! += weights[pair]! * dWeights[pair]!;
  }
  return gradient;
}
