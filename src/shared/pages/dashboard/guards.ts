import * as v from 'valibot';
import type { MetricLine, StepColumns } from '../../metrics/lines';
import { asMetricLine } from '../../metrics/parse';
import { COMPARED_FIELDS, STEP_FIELDS } from '../../metrics/table';
import { DatasetSchema } from '../../datasetSources';
import { checked } from '../../parsed';
import { isInRun, type RunRecord } from '../../run';
import {
  ADVISED_KEYS,
  NEXT_STEPS,
  OPEN_TARGETS,
  RUNTIME_REQUESTS,
  RUNTIME_WAITS,
  type HostMessage,
  type PageMessage,
} from './protocol';
import { isObject } from '../../values';

// Checks for values from files and messages. Unknown keys pass: a newer engine may write more.

const RUN_STATES = [
  'preparing',
  'running',
  'paused',
  'stopped',
  'completed',
  'failed',
  'interrupted',
] as const;
const PHASES = [
  'reading data',
  'loading model',
  'training',
  'reference',
  'evaluating',
  'sampling',
  'saving',
  'sending',
  'waiting',
  'fetching',
] as const;

const number = v.pipe(v.number(), v.finite());
const orNull = <S extends v.GenericSchema>(schema: S) => v.nullable(schema);
const text = v.string();
const innerPath = v.pipe(text, v.check(isInRun));

const PlaceSchema = v.looseObject({
  file: text,
  line: v.optional(number),
  column: v.optional(number),
  tensor: v.optional(text),
  key: v.optional(text),
});
const ProblemSchema = v.looseObject({
  message: text,
  place: v.optional(PlaceSchema),
  severity: v.picklist(['error', 'warning']),
});
const ErrorSchema = v.looseObject({
  area: text,
  message: text,
  place: v.optional(PlaceSchema),
  fix: v.optional(text),
  problems: v.optional(v.array(ProblemSchema)),
  detail: v.optional(text),
});

const StatusSchema = v.looseObject({
  state: v.picklist(RUN_STATES),
  step: number,
  total_steps: orNull(number),
  seconds_left: orNull(number),
  error: orNull(ErrorSchema),
  device_memory: v.optional(orNull(v.object({ used: number, total: number }))),
});
const ProgressSchema = v.looseObject({ phase: v.picklist(PHASES), fraction: orNull(number) });

/** The parts of a recipe that pages use; the rest is shown as it was read. */
const ShownRecipeSchema = v.looseObject({
  base: text,
  dataset: DatasetSchema,
  lora: v.looseObject({
    r: number,
    lora_alpha: number,
    target_modules: v.union([text, v.array(text)]),
  }),
  samples: v.looseObject({ sample_steps: number }),
  training: v.looseObject({
    num_train_epochs: number,
    max_grad_norm: number,
    learning_rate: number,
    lr_scheduler_type: text,
  }),
});

const SourceSchema = v.looseObject({
  name: text,
  weight: number,
  examples: number,
  tokens: number,
  labelled_tokens: number,
  drawn: number,
  share: number,
});

const RunSchema = v.looseObject({
  id: text,
  name: text,
  state: v.picklist(RUN_STATES),
  created: text,
  started: orNull(text),
  ended: orNull(text),
  recipe: ShownRecipeSchema,
  recipe_path: orNull(text),
  base: orNull(
    v.looseObject({
      name: text,
      architecture: text,
      parameters: number,
      fingerprint: v.array(v.looseObject({ file: text, size: number, sha256: text })),
    }),
  ),
  data: orNull(
    v.looseObject({
      examples: number,
      validation_examples: number,
      tokens: number,
      labelled_tokens: number,
      sources: v.optional(v.array(SourceSchema)),
    }),
  ),
  trainable_parameters: orNull(number),
  total_steps: orNull(number),
  versions: v.looseObject({
    extension: text,
    node: text,
    runtime: orNull(text),
    device: orNull(text),
  }),
  git_commit: orNull(text),
  result: v.looseObject({
    adapter: orNull(innerPath),
    model: v.optional(orNull(innerPath)),
  }),
  error: orNull(ErrorSchema),
});

/** Checks the parts of run.json that pages use; undefined if one is missing or wrong. */
export function asRunRecord(value: unknown): RunRecord | undefined {
  return v.is(RunSchema, value) ? (value as unknown as RunRecord) : undefined;
}

// The value itself: a copy would have its keys in another order, and the page shows the recipe.
const recordSchema = v.custom<RunRecord>(
  (value) => asRunRecord(value) !== undefined,
  'not a run record',
);
// JSON turns NaN into null; the parsed line has NaN again.
const lineSchema = v.pipe(
  v.unknown(),
  v.transform(asMetricLine),
  v.custom<MetricLine>((line) => line !== undefined, 'not a metric line'),
);
const otherLineSchema = v.pipe(
  lineSchema,
  v.check((line) => line.kind !== 'step', 'a step among the other lines'),
);
const columnsSchema = v.custom<StepColumns>((value) => {
  if (!isObject(value)) return false;
  const length = value['step'] instanceof Float64Array ? value['step'].length : -1;
  const isColumn = (field: string) =>
    value[field] instanceof Float64Array && value[field].length === length;
  return (
    STEP_FIELDS.every(isColumn) &&
    COMPARED_FIELDS.every((field) => value[field] === undefined || isColumn(field))
  );
});

const LinkSchema = v.picklist(['engine', 'folder', 'untrusted', 'ended']);
const RequestSchema = v.picklist(['pause', 'resume', 'stop']);

const HostMessageVariants = v.variant('kind', [
  v.object({
    kind: v.literal('snapshot'),
    run_dir: text,
    run: orNull(recordSchema),
    status: StatusSchema,
    progress: orNull(ProgressSchema),
    link: LinkSchema,
    outline: v.boolean(),
    steps: columnsSchema,
    lines: v.array(otherLineSchema),
  }),
  v.object({ kind: v.literal('append'), lines: v.array(lineSchema) }),
  v.object({ kind: v.literal('status'), status: StatusSchema, link: LinkSchema }),
  v.object({ kind: v.literal('progress'), progress: orNull(ProgressSchema) }),
  v.object({ kind: v.literal('run'), run: recordSchema }),
  v.object({
    kind: v.literal('log'),
    level: v.picklist(['warn', 'error']),
    message: text,
    time: text,
  }),
  v.object({
    kind: v.literal('labels'),
    name: orNull(text),
    previous: orNull(text),
    changed_files: orNull(number),
    commit_page: v.boolean(),
    command: text,
    remote: orNull(
      v.object({
        target: text,
        place: text,
        stage: orNull(text),
        away: orNull(text),
        can_reconnect: v.boolean(),
      }),
    ),
  }),
  v.object({ kind: v.literal('answered'), request: RequestSchema }),
  v.object({ kind: v.literal('wait'), for: orNull(v.picklist(RUNTIME_WAITS)) }),
]);

/** Messages of pages that save or copy something. */
export const PICTURE_SCHEMA = v.object({
  kind: v.literal('savePicture'),
  name: text,
  url: v.pipe(text, v.regex(/^data:image\/png;base64,[A-Za-z0-9+/]+=*$/)),
});
export const TEXT_SCHEMA = v.object({ kind: v.literal('copyText'), text });

const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.picklist(['ready', 'allSteps', 'continue', 'copyError', 'export']) }),
  v.object({ kind: v.literal('shown'), run_dir: text }),
  v.object({ kind: v.literal('request'), request: RequestSchema }),
  v.object({ kind: v.literal('open'), what: v.picklist(OPEN_TARGETS) }),
  v.object({ kind: v.literal('next'), what: v.picklist(NEXT_STEPS) }),
  v.object({ kind: v.literal('runtime'), what: v.picklist(RUNTIME_REQUESTS) }),
  v.object({ kind: v.literal('openSetting'), key: v.picklist(ADVISED_KEYS) }),
  v.object({ kind: v.literal('openPlace'), place: PlaceSchema }),
  PICTURE_SCHEMA,
  TEXT_SCHEMA,
  v.object({ kind: v.literal('trouble'), message: text }),
]);

/** Messages of the host; of a run's record only what pages use is checked. */
export const DashboardHostMessageSchema = HostMessageVariants as unknown as v.GenericSchema<
  unknown,
  HostMessage
>;

/** A message of the host, or how it breaks the schema. */
export const asHostMessage = (value: unknown) => checked(DashboardHostMessageSchema, value);

/** A message of the page, or how it breaks the schema. */
export const asPageMessage = (value: unknown) =>
  checked(PageMessageSchema as unknown as v.GenericSchema<unknown, PageMessage>, value);
