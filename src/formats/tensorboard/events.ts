import { tooLong } from '../logs/tooLong';
import {
  bytesField,
  doubleField,
  floatField,
  integerField,
  messageField,
  readFields,
  type Field,
} from './protobuf';
import type { ReadField } from '../protobuf';
import { readRecords, recordOf } from './records';

// Fields of tensorflow/core/util/event.proto and framework/summary.proto, tensor.proto.
const EVENT = { wall_time: 1, step: 2, file_version: 3, summary: 5, session_log: 7 } as const;
const SUMMARY_VALUE = 1;
const VALUE = { tag: 1, simple_value: 2, tensor: 8, metadata: 9 } as const;
const METADATA_PLUGIN = 1;
const PLUGIN_NAME = 1;
const TENSOR = {
  dtype: 1,
  shape: 2,
  content: 4,
  float_val: 5,
  double_val: 6,
  string_val: 8,
} as const;
const DT_FLOAT = 1;
const DT_DOUBLE = 2;
const DT_STRING = 7;
const SESSION_STATUS = 1;
const SESSION_START = 1;
const VERSION = 'brain.Event:2';

/** When and at which step something was measured; seconds since 1970. */
export interface EventTime {
  readonly wall_time: number;
  readonly step: number;
}

const event = ({ wall_time, step }: EventTime, content: Field): Buffer =>
  recordOf(
    Buffer.concat([
      doubleField(EVENT.wall_time, wall_time),
      integerField(EVENT.step, step),
      content,
    ]),
  );

/** What an event file begins with. */
export const versionEvent = (wall_time: number): Buffer =>
  event({ wall_time, step: 0 }, bytesField(EVENT.file_version, VERSION));

/** From here on, values of this step and later ones in earlier files no longer count. */
export const restartEvent = (time: EventTime): Buffer =>
  event(time, messageField(EVENT.session_log, integerField(SESSION_STATUS, SESSION_START)));

/** Numbers by their tags. */
export const scalarsEvent = (time: EventTime, values: Readonly<Record<string, number>>): Buffer =>
  event(
    time,
    messageField(
      EVENT.summary,
      ...Object.entries(values).map(([tag, value]) =>
        messageField(
          SUMMARY_VALUE,
          bytesField(VALUE.tag, tag),
          floatField(VALUE.simple_value, value),
        ),
      ),
    ),
  );

/** A text (Markdown) of the plugin for texts. */
export const textEvent = (time: EventTime, tag: string, text: string): Buffer =>
  event(
    time,
    messageField(
      EVENT.summary,
      messageField(
        SUMMARY_VALUE,
        bytesField(VALUE.tag, tag),
        messageField(
          VALUE.tensor,
          integerField(TENSOR.dtype, DT_STRING),
          messageField(TENSOR.shape, messageField(2, integerField(1, 1))),
          bytesField(TENSOR.string_val, text),
        ),
        messageField(
          VALUE.metadata,
          messageField(METADATA_PLUGIN, bytesField(PLUGIN_NAME, 'text')),
        ),
      ),
    ),
  );

/** A number that was measured at a step. */
export interface Scalar extends EventTime {
  readonly tag: string;
  readonly value: number;
}

/** What is read of event files. */
export interface ReadEvents {
  readonly scalars: readonly Scalar[];
  /** Each begins as an event file does. */
  readonly isEventFile: boolean;
  readonly isDamaged: boolean;
}

/** An untrusted tag is a name in a chart, not a book. */
const MAX_TAG = 200;
const MAX_SCALARS = 2_000_000;

/**
 * The scalars of the event files of a run in their order, including those that TensorFlow 2 and
 * PyTorch write as tensors. What a restart made void is left out; other summaries are.
 *
 * @throws LoraError for too many
 */
export function readEvents(...files: readonly Buffer[]): ReadEvents {
  const read = files.map(readRecords);
  const scalars: Scalar[] = [];
  const restarts: Restart[] = [];
  for (const record of read.flatMap(({ records }) => records)) {
    const fields = readFields(record) ?? [];
    const time = { wall_time: doubleOf(fields), step: stepOf(fields) };
    if (isRestart(fields)) restarts.push({ at: scalars.length, step: time.step });
    for (const value of valuesOf(fields)) {
      if (scalars.length >= MAX_SCALARS) throw tooLong(MAX_SCALARS, 'values');
      scalars.push({ ...time, ...value });
    }
  }
  return {
    scalars: withoutVoid(scalars, restarts),
    isEventFile: read.every(({ records: [first] }) => first !== undefined && isVersion(first)),
    isDamaged: read.some((own) => own.isDamaged),
  };
}

/** Values before `at` that were measured at the step or later are void. */
interface Restart {
  readonly at: number;
  readonly step: number;
}

function withoutVoid(scalars: readonly Scalar[], restarts: readonly Restart[]): readonly Scalar[] {
  const kept: Scalar[] = [];
  let end = Infinity;
  let next = restarts.length - 1;
  for (const [at, scalar] of [...scalars.entries()].reverse()) {
    for (; next >= 0 && restarts[next]!.at > at; next--) end = Math.min(end, restarts[next]!.step);
    if (scalar.step < end) kept.push(scalar);
  }
  return kept.reverse();
}

const isVersion = (record: Buffer): boolean =>
  textOf(readFields(record) ?? [], EVENT.file_version)?.startsWith('brain.Event:') ?? false;

const fieldOf = (fields: readonly ReadField[], number: number): ReadField | undefined =>
  fields.findLast((field) => field.number === number);

function doubleOf(fields: readonly ReadField[]): number {
  const bytes = fieldOf(fields, EVENT.wall_time)?.bytes;
  return bytes?.length === 8 ? bytes.readDoubleLE() : NaN;
}

const stepOf = (fields: readonly ReadField[]): number => {
  const step = fieldOf(fields, EVENT.step)?.value ?? 0;
  return Number.isSafeInteger(step) ? step : 0;
};

const textOf = (fields: readonly ReadField[], number: number): string | undefined =>
  fieldOf(fields, number)?.bytes.toString('utf8');

function isRestart(fields: readonly ReadField[]): boolean {
  const log = readFields(fieldOf(fields, EVENT.session_log)?.bytes ?? Buffer.alloc(0));
  return fieldOf(log ?? [], SESSION_STATUS)?.value === SESSION_START;
}

function* valuesOf(fields: readonly ReadField[]): Generator<Pick<Scalar, 'tag' | 'value'>> {
  for (const { number, bytes } of fields) {
    if (number !== EVENT.summary) continue;
    for (const summary of readFields(bytes) ?? []) {
      if (summary.number !== SUMMARY_VALUE) continue;
      const value = readFields(summary.bytes) ?? [];
      const [tag, scalar] = [textOf(value, VALUE.tag), scalarOf(value)];
      if (tag !== undefined && tag.length <= MAX_TAG && scalar !== null)
        yield { tag, value: scalar };
    }
  }
}

function scalarOf(value: readonly ReadField[]): number | null {
  const simple = fieldOf(value, VALUE.simple_value)?.bytes;
  if (simple?.length === 4) return simple.readFloatLE();
  const tensor = readFields(fieldOf(value, VALUE.tensor)?.bytes ?? Buffer.alloc(0)) ?? [];
  const dtype = fieldOf(tensor, TENSOR.dtype)?.value;
  const content = fieldOf(tensor, TENSOR.content)?.bytes;
  if (dtype === DT_FLOAT) return floatOf(content ?? fieldOf(tensor, TENSOR.float_val)?.bytes);
  if (dtype === DT_DOUBLE) return doubleIn(content ?? fieldOf(tensor, TENSOR.double_val)?.bytes);
  return null;
}

/** One number; a tensor of several is no scalar. */
const floatOf = (bytes: Buffer | undefined): number | null =>
  bytes?.length === 4 ? bytes.readFloatLE() : null;
const doubleIn = (bytes: Buffer | undefined): number | null =>
  bytes?.length === 8 ? bytes.readDoubleLE() : null;
