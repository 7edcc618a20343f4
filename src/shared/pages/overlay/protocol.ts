import * as v from 'valibot';
import { CHART_IDS, curvesIn, type CurveId } from '../../metrics/table';
import { parsed } from '../../parsed';
import { isRecipeKey } from '../../sweep/recipeKeys';
import { AXES, type HostMessage } from '../dashboard/protocol';
import { asHostMessage, PICTURE_SCHEMA, TEXT_SCHEMA } from '../dashboard/guards';

// The messages between the extension host and the page that overlays the curves of runs.

const text = v.string();

/** The runs: those that were chosen, or all of a sweep, whose recipes are in one folder. */
const SubjectSchema = v.variant('kind', [
  v.object({ kind: v.literal('runs'), dirs: v.array(text) }),
  v.object({ kind: v.literal('sweep'), folder: text }),
]);
export type OverlaySubject = v.InferOutput<typeof SubjectSchema>;

/** A tune: the smoothed losses of its range test over the rates, if it had one. */
const TuneSchema = v.object({
  points: v.pipe(v.array(v.object({ rate: v.number(), loss: v.number() })), v.maxLength(100)),
  suggestion: v.nullable(v.number()),
});
export type ShownTune = v.InferOutput<typeof TuneSchema>;

/** What a sweep varies, and how many of its runs are neither in the list nor queued. */
const SweepSchema = v.object({
  keys: v.pipe(v.array(v.pipe(text, v.check(isRecipeKey))), v.minLength(1)),
  missing: v.number(),
  /** Null: all runs are trained to their ends. */
  tune: v.optional(v.nullable(TuneSchema), null),
});
export type ShownSweep = v.InferOutput<typeof SweepSchema>;

/** Messages about one run are those that its own dashboard gets. */
const dashboardMessage = v.custom<HostMessage>(
  (value) => 'message' in asHostMessage(value),
  'not a message of a run',
);

export const OverlayHostMessageSchema = v.variant('kind', [
  /** All runs in their order; the page drops others. */
  v.object({
    kind: v.literal('runs'),
    title: text,
    sweep: v.nullable(SweepSchema),
    waiting: v.number(),
    runs: v.array(v.object({ dir: text, name: text })),
  }),
  v.object({ kind: v.literal('of'), dir: text, message: dashboardMessage }),
]);
export type OverlayHostMessage = v.InferOutput<typeof OverlayHostMessageSchema>;

const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('open'), dir: text }),
  PICTURE_SCHEMA,
  TEXT_SCHEMA,
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type OverlayPageMessage = v.InferOutput<typeof PageMessageSchema>;

/** What the curves can show; in each chart the line drawn on top comes first. */
export const OVERLAY_METRICS: readonly OverlayMetric[] = CHART_IDS.flatMap((chart) =>
  curvesIn(chart).toReversed(),
);
export type OverlayMetric = CurveId;

/** What the page keeps when it is reloaded; all but the subject may be missing. */
const PageStateSchema = v.object({
  subject: SubjectSchema,
  quantity: v.optional(v.picklist(OVERLAY_METRICS), 'validation'),
  hidden: v.optional(v.array(text), []),
  axis: v.optional(v.picklist(AXES), 'step'),
  logarithmic: v.optional(v.boolean(), false),
  logarithmicX: v.optional(v.boolean(), false),
  smoothing: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.99)), 0.9),
  /** null: the order of the varied values, or of the places where several keys are varied. */
  sorting: v.optional(v.nullable(v.object({ column: text, descending: v.boolean() })), null),
  zoom: v.optional(v.nullable(v.object({ from: v.number(), to: v.number() })), null),
});
export type OverlayPageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asOverlayHostMessage = parsed(OverlayHostMessageSchema);
export const asOverlayPageMessage = parsed(PageMessageSchema);
export const asOverlayPageState = parsed(PageStateSchema);
export const asOverlaySubject = parsed(SubjectSchema);
