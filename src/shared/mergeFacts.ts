import * as v from 'valibot';
import { LLAMA_OUTPUTS } from './useTools';

// What a merge says of its result, in its certificate and on the page that shows it.

const text = v.string();
const number = v.pipe(v.number(), v.finite());
const count = v.pipe(number, v.minValue(0));

/** Tensors of one type in the base (null: the base lacks them) that have one type in the result. */
export const StoredWeightsSchema = v.object({
  from: v.nullable(v.string()),
  to: v.string(),
  tensors: count,
  /** Of these, tensors with an update. Older certificates lack it. */
  updated: v.optional(count, 0),
  /** In the result. */
  bytes: count,
});
export type StoredWeights = v.InferOutput<typeof StoredWeightsSchema>;

/** Sizes of the weights in bytes, and how they are stored. */
export const MergeSizesSchema = v.object({
  base_bytes: count,
  bytes: count,
  stored: v.array(StoredWeightsSchema),
});
export type MergeSizes = v.InferOutput<typeof MergeSizesSchema>;

/** What rounding did to a merged tensor. */
export interface RoundedTensor {
  readonly delta_norm: number;
  /** Elements with an update that are the same after rounding. */
  readonly unmoved: number;
  readonly elements: number;
}

/** The share of unchanged elements above which rounding is reported. */
const ROUNDING_WARNING_SHARE = 0.01;

/** What is to be reported of a merge's numbers. */
export type MergeFinding =
  | { readonly kind: 'noUpdate' }
  /** `share` of the elements with an update are the same after rounding. */
  | { readonly kind: 'rounded'; readonly share: number };

/** Null: there is nothing to report. */
export function mergeFinding(tensors: readonly RoundedTensor[]): MergeFinding | null {
  if (tensors.length > 0 && tensors.every((tensor) => tensor.delta_norm === 0)) {
    return { kind: 'noUpdate' };
  }
  const unmoved = tensors.reduce((sum, tensor) => sum + tensor.unmoved, 0);
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const share = elements === 0 ? 0 : unmoved / elements;
  return share > ROUNDING_WARNING_SHARE ? { kind: 'rounded', share } : null;
}

const hashed = v.array(v.object({ file: text, sha256: text }));

/** The part of a merge's certificate that is shown. Older ones lack the sizes. */
export const ShownCertificateSchema = v.object({
  version: v.literal(1),
  created: text,
  formula: text,
  scale: number,
  partial: v.optional(v.boolean(), false),
  dtype: text,
  base: text,
  adapters: v.array(text),
  inputs: hashed,
  outputs: hashed,
  untied: v.boolean(),
  sizes: v.optional(v.nullable(MergeSizesSchema), null),
  tensors: v.array(
    v.object({
      name: text,
      dtype: text,
      delta_norm: number,
      rounding_error: number,
      unmoved: count,
      elements: count,
    }),
  ),
  parity: v.nullable(
    v.object({
      prompts: count,
      largest_gap: number,
      largest_logit: number,
      top1_agreement: number,
    }),
  ),
  /** What llama.cpp makes with it. Older ones lack it. */
  makes: v.optional(v.nullable(v.picklist(LLAMA_OUTPUTS)), 'text'),
  /** Of image models, which are not run. */
  weights: v.optional(
    v.nullable(v.object({ rows: count, elements: count, largest_gap: count, rms_gap: count })),
    null,
  ),
});
export type ShownCertificate = v.InferOutput<typeof ShownCertificateSchema>;
