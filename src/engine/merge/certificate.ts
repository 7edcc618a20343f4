import * as v from 'valibot';
import type { TensorFacts } from './stream';

export const CERTIFICATE = 'merge.json';

export interface Parity {
  readonly prompts: number;
  /** Largest difference of a logit between base + adapter and the merged model. */
  readonly largest_gap: number;
  /** Largest logit, for comparison. */
  readonly largest_logit: number;
  /** Share of positions at which both put the same first. */
  readonly top1_agreement: number;
}

export interface HashedFile {
  readonly file: string;
  readonly sha256: string;
}

/** merge.json: what was merged into what, and how exactly. */
export interface Certificate {
  readonly version: 1;
  readonly created: string;
  readonly formula: string;
  readonly scale: number;
  readonly dtype: string;
  readonly base: string;
  readonly adapters: readonly string[];
  readonly inputs: readonly HashedFile[];
  readonly outputs: readonly HashedFile[];
  /** The output layer has a tensor of its own now. */
  readonly untied: boolean;
  readonly tensors: readonly TensorFacts[];
  /** Null where it was not measured. */
  readonly parity: Parity | null;
  readonly warnings: readonly string[];
}

const hashed = v.object({ file: v.string(), sha256: v.string() });

/** As far as a later check needs it. */
export const CertificateSchema = v.looseObject({
  version: v.literal(1),
  base: v.string(),
  adapters: v.array(v.string()),
  scale: v.number(),
  inputs: v.array(hashed),
  outputs: v.array(hashed),
  untied: v.boolean(),
  formula: v.string(),
  tensors: v.array(v.looseObject({ name: v.string(), rounding_error: v.number() })),
});

const SWALLOWED = 0.01;

/** What a person must know of the result. */
export function warningsOf(tensors: readonly TensorFacts[]): string[] {
  const [unmoved, elements] = tensors.reduce(
    ([u, e], t) => [u + t.unmoved, e + t.elements],
    [0, 0],
  );
  if (elements === 0 || unmoved / elements <= SWALLOWED) return [];
  const share = ((100 * unmoved) / elements).toFixed(1);
  return [
    `${share} % of the numbers that the adapter changes are the same after rounding: their updates are smaller than the dtype can hold. Merge with --dtype float32 to keep them.`,
  ];
}
