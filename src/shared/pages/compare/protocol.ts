import * as v from 'valibot';
import { parsed } from '../../parsed';

// The part of the output of `lora compare --json` that the page shows. Both ends check it.

const number = v.pipe(v.number(), v.finite());
const text = v.string();
const both = <S extends v.GenericSchema>(schema: S) => v.object({ a: schema, b: schema });

const FactsSchema = v.object({
  r: number,
  scaling: number,
  norm: number,
  singular_values: v.array(number),
  effective_rank: number,
  rank_90: number,
  rank_99: number,
});
const OverlapSchema = v.object({ phi: v.array(v.array(number)), whole: number, random: number });
const AloneSchema = v.object({ path: text, facts: FactsSchema });
const IntrudersSchema = v.object({ best_cosines: v.array(number), count: number });

const ComparisonSchema = v.object({
  modules: v.array(
    v.object({
      path: text,
      a: FactsSchema,
      b: FactsSchema,
      cosine: v.nullable(number),
      norm_of_difference: number,
      left: OverlapSchema,
      right: OverlapSchema,
    }),
  ),
  only_a: v.array(AloneSchema),
  only_b: v.array(AloneSchema),
  trained: v.array(v.object({ name: text, norm_of_difference: v.nullable(number) })),
  config: v.array(v.object({ key: text, a: v.unknown(), b: v.unknown() })),
  total: v.object({
    norm_a: number,
    norm_b: number,
    norm_of_difference: number,
    cosine: v.nullable(number),
  }),
  equal: v.boolean(),
  magnitudes: v.optional(v.array(v.object({ path: text, difference: v.nullable(number) })), []),
  /** Null without a base. */
  layers: v.nullable(
    v.array(
      v.object({
        path: text,
        norm_base: number,
        amplification: both(v.nullable(number)),
        intruders: v.nullable(both(v.nullable(IntrudersSchema))),
      }),
    ),
  ),
});

/** A comparison of two adapters. */
export type ComparisonData = v.InferOutput<typeof ComparisonSchema>;
export type FactsData = v.InferOutput<typeof FactsSchema>;

/**
 * From the host: the comparison (`curves`: both adapters belong to runs, whose curves can be
 * overlaid), or why it failed.
 */
export const CompareHostMessageSchema = v.variant('kind', [
  v.object({
    kind: v.literal('comparison'),
    names: v.tuple([text, text]),
    curves: v.boolean(),
    comparison: ComparisonSchema,
  }),
  v.object({ kind: v.literal('failed'), message: text }),
]);
export type CompareHostMessage = v.InferOutput<typeof CompareHostMessageSchema>;

/** From the page. */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.picklist(['openDiff', 'try', 'curves']) }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type ComparePageMessage = v.InferOutput<typeof PageMessageSchema>;

/** What a page keeps when it is reloaded. */
const PageStateSchema = v.object({
  a: text,
  b: text,
  quantity: v.optional(text),
  selected: v.optional(v.nullable(text)),
  sort: v.optional(text),
  descending: v.optional(v.boolean()),
  filter: v.optional(text),
});
export type ComparePageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asComparison = parsed(ComparisonSchema);
export const asComparePageMessage = parsed(PageMessageSchema);
export const asComparePageState = parsed(PageStateSchema);
