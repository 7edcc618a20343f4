import path from 'node:path';
import * as v from 'valibot';
import type { Place, SerializedError } from '../../shared/errors';
import type { FileFingerprint, RemoteRecord, RunRecord } from '../../shared/run';
import { RUN_FILES } from '../../shared/run';
import { QUANTIZE } from '../../shared/trainingSettings';

const MAX_TEXT = 100_000;
const MAX_FILES = 100_000;
const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
const number = v.pipe(v.number(), v.finite());
const count = v.pipe(number, v.integer(), v.minValue(0));
const time = v.pipe(
  text,
  v.check((value) => !Number.isNaN(Date.parse(value))),
);
const fingerprint = v.pipe(
  v.array(v.object({ file: text, size: count, sha256: v.pipe(text, v.regex(/^[0-9a-f]*$/)) })),
  v.maxLength(MAX_FILES),
);
const PlaceSchema = v.object({
  file: text,
  line: v.exactOptional(count),
  column: v.exactOptional(count),
  tensor: v.exactOptional(text),
  key: v.exactOptional(text),
});
const AREAS = [
  ...['recipe', 'base', 'adapter', 'dataset', 'tokenizer', 'runtime', 'engine'],
  ...['target', 'run', 'disk', 'memory', 'usage', 'cancelled'],
] as SerializedError['area'][];
const ErrorSchema = v.object({
  area: v.picklist(AREAS),
  message: text,
  place: v.exactOptional(PlaceSchema),
  fix: v.exactOptional(text),
  problems: v.exactOptional(
    v.pipe(
      v.array(
        v.object({
          message: text,
          place: v.exactOptional(PlaceSchema),
          severity: v.picklist(['error', 'warning']),
          rows: v.exactOptional(count),
          skipped: v.exactOptional(v.literal(true)),
        }),
      ),
      v.maxLength(1_000),
    ),
  ),
  detail: v.exactOptional(text),
});

/**
 * The part of a run's record that the remote engine provides. The rest of the record is known
 * locally.
 */
const ThereSchema = v.object({
  version: v.literal(1),
  state: v.picklist(['preparing', 'running', 'paused', 'stopped', 'completed', 'failed']),
  started: v.nullable(time),
  ended: v.nullable(time),
  base: v.nullable(v.object({ name: text, architecture: text, parameters: count, fingerprint })),
  data: v.nullable(
    v.object({
      examples: count,
      validation_examples: count,
      tokens: count,
      labelled_tokens: count,
      skipped_rows: v.exactOptional(count),
      excluded_rows: v.exactOptional(count),
      fingerprint,
    }),
  ),
  step_plan: v.exactOptional(
    v.nullable(
      v.object({
        base_dtype: v.picklist(['float32', 'bfloat16']),
        quantized: v.exactOptional(v.boolean()),
        quantize: v.exactOptional(v.picklist(QUANTIZE)),
        recomputed_layers: count,
      }),
    ),
  ),
  trainable_parameters: v.nullable(count),
  total_steps: v.nullable(count),
  versions: v.object({
    extension: text,
    node: text,
    runtime: v.nullable(text),
    device: v.nullable(text),
    system: v.exactOptional(text),
  }),
  result: v.object({
    steps: count,
    last_loss: v.nullable(number),
    last_validation_loss: v.nullable(number),
    last_validation_step: v.exactOptional(v.nullable(count)),
    first_validation_loss: v.exactOptional(v.nullable(number)),
    best_validation_loss: v.nullable(number),
    best_step: v.nullable(count),
    best_metric: v.exactOptional(v.nullable(v.object({ name: text, value: number }))),
    stopped_early: v.exactOptional(v.nullable(v.object({ patience: count, metric: text }))),
    adapter: v.nullable(v.literal(RUN_FILES.adapter)),
    model: v.exactOptional(v.nullable(v.literal(RUN_FILES.model))),
  }),
  error: v.nullable(ErrorSchema),
});

/** Where the files of a run are here and there, and how the clocks differ. */
export type Correspondence = Pick<RemoteRecord, 'sent' | 'clock_ahead'>;

/**
 * A run's record with what run.json on the target says. Id, name, recipe and commit stay those of
 * this machine; times are those of its clock, and places of files its own. Null: it is not valid.
 */
export function mergeRecord(
  local: RunRecord,
  there: unknown,
  { sent, clock_ahead }: Correspondence,
): RunRecord | null {
  const parsed = v.safeParse(ThereSchema, there);
  if (!parsed.success) return null;
  const { started, ended, base, data, error, ...facts } = parsed.output;
  const here = (place: string) => localPath(place, sent);
  const inTime = (value: string | null) =>
    value === null ? null : new Date(Date.parse(value) - (clock_ahead ?? 0)).toISOString();
  return {
    ...local,
    ...facts,
    started: inTime(started),
    ended: inTime(ended),
    base: base && { ...base, fingerprint: base.fingerprint.map(withFile(here)) },
    data: data && { ...data, fingerprint: data.fingerprint.map(withFile(here)) },
    error: error && errorHere(error, here),
  };
}

type PathHere = (place: string) => string;

const withFile =
  (here: PathHere) =>
  (print: FileFingerprint): FileFingerprint => ({ ...print, file: here(print.file) });

function errorHere(error: SerializedError, here: PathHere): SerializedError {
  const at = (place: Place): Place => ({ ...place, file: here(place.file) });
  return {
    ...error,
    ...(error.place && { place: at(error.place) }),
    ...(error.problems && {
      problems: error.problems.map((problem) => ({
        ...problem,
        ...(problem.place && { place: at(problem.place) }),
      })),
    }),
  };
}

/** The file here that a path on the target was sent from; the path itself if none was. */
export function localPath(place: string, sent: RemoteRecord['sent']): string {
  const [, id = '', inner = ''] = /[\\/]items[\\/]([0-9a-z]+)(?:[\\/](.*))?$/s.exec(place) ?? [];
  const folder = Object.hasOwn(sent, id) ? sent[id] : undefined;
  if (folder === undefined) return place;
  const parts = inner.split(/[\\/]/).filter((part) => part !== '');
  return parts.includes('..') ? place : path.join(folder, ...parts);
}
