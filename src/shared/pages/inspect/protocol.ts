import * as v from 'valibot';
import { parsed } from '../../parsed';

// The messages between the page that shows a file of tensors and its host. Both ends check them.

const text = v.string();
const count = v.pipe(v.number(), v.finite(), v.minValue(0));
const number = v.pipe(v.number(), v.finite());

const TensorSchema = v.object({ name: text, dtype: text, shape: v.array(count), bytes: count });
export type TensorRow = v.InferOutput<typeof TensorSchema>;

/**
 * `extremes`: values more than six deviations from the mean.
 * `notNumbers`: NaN and infinities, which the others leave out. `histogram`: how many fall into
 * each of equal parts from `min` to `max`.
 */
const ValuesSchema = v.object({
  min: number,
  max: number,
  mean: number,
  deviation: number,
  norm: number,
  zeros: count,
  extremes: count,
  notNumbers: count,
  count,
  histogram: v.array(count),
});
export type Values = v.InferOutput<typeof ValuesSchema>;

/** From the host. `findings`: sentences about the adapter that the file holds. */
export const InspectHostMessageSchema = v.variant('kind', [
  v.object({
    kind: v.literal('file'),
    name: text,
    format: v.picklist(['safetensors', 'gguf']),
    bytes: count,
    metadata: v.array(v.object({ key: text, value: text })),
    tensors: v.array(TensorSchema),
  }),
  v.object({ kind: v.literal('findings'), findings: v.array(text) }),
  v.object({ kind: v.literal('values'), tensor: text, values: ValuesSchema }),
  v.object({ kind: v.literal('noValues'), tensor: text, why: text }),
  v.object({ kind: v.literal('fault'), message: text }),
]);
export type InspectHostMessage = v.InferOutput<typeof InspectHostMessageSchema>;

/** From the page. */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('measure'), tensor: text }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type InspectPageMessage = v.InferOutput<typeof PageMessageSchema>;

/** These return undefined for values that do not fit. */
export const asInspectHostMessage = parsed(InspectHostMessageSchema);
export const asInspectPageMessage = parsed(PageMessageSchema);
