import type {
  BatchLine,
  BatchPiece,
  ComparedScores,
  MetricLine,
  SampleLine,
  SampleMessage,
  Scores,
  SourceLoss,
  StepLine,
} from './lines';
import { isObject } from '../values';
import { COMPARED_FIELDS, COMPARED_MARKS, SCORE_NAMES, STEP_FIELDS, type StepField } from './table';

/**
 * Reads the text of metrics.jsonl. Skips lines that are not metric lines and an
 * incomplete last line; leaves out lines that a later resume made void.
 */
export function parseMetrics(text: string): MetricLine[] {
  const history: MetricLine[] = [];
  for (const lineText of text.split('\n').slice(0, -1)) {
    const line = parseMetricLine(lineText);
    if (line) appendLine(history, line);
  }
  return history;
}

/** Reads one line of metrics.jsonl; undefined if it is not a metric line. */
export function parseMetricLine(text: string): MetricLine | undefined {
  try {
    return asMetricLine(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/**
 * Checks a parsed line. Missing numbers become NaN (JSON has no NaN) and unknown keys are dropped;
 * undefined if the kind is unknown, the step is not a number, or a text is missing.
 */
export function asMetricLine(value: unknown): MetricLine | undefined {
  if (!isObject(value)) return undefined;
  const { kind, step } = value;
  if (typeof step !== 'number' || !Number.isFinite(step)) return undefined;
  switch (kind) {
    case 'step':
      return stepLine(value);
    case 'eval':
      return {
        kind,
        step,
        loss: orNaN(value['loss']),
        labelled_tokens: orNaN(value['labelled_tokens']),
        ...(isObject(value['scores']) && { scores: asScores(value['scores']) }),
        ...(Array.isArray(value['sources']) && { sources: sourceLosses(value['sources']) }),
        elapsed: orNaN(value['elapsed']),
      };
    case 'sample':
      return sampleLine(value, step);
    case 'checkpoint':
      return typeof value['path'] === 'string' ? { kind, step, path: value['path'] } : undefined;
    case 'resume':
      return { kind, step };
    case 'batch':
      return isBatchRows(value['rows']) ? { kind, step, rows: value['rows'] } : undefined;
    default:
      return undefined;
  }
}

function appendLine(history: MetricLine[], line: MetricLine): void {
  if (line.kind === 'resume') {
    const kept = history.filter(({ step }) => step <= line.step);
    history.splice(0, history.length, ...kept);
  }
  history.push(line);
}

/** A loop, because a run may have hundreds of thousands of such lines. */
function stepLine(value: Readonly<Record<string, unknown>>): StepLine {
  const line = { kind: 'step' } as { kind: 'step' } & Record<StepField, number>;
  for (const field of STEP_FIELDS) line[field] = orNaN(value[field]);
  return COMPARED_MARKS.some((name) => value[name] !== undefined)
    ? { ...line, ...comparedScores(value) }
    : line;
}

function sampleLine(
  value: Readonly<Record<string, unknown>>,
  step: number,
): SampleLine | undefined {
  const { prompt, completion, line, before, expected, exact } = value;
  if (typeof prompt !== 'string' || typeof completion !== 'string') return undefined;
  return {
    kind: 'sample',
    step,
    prompt,
    completion,
    ...(typeof line === 'number' && Number.isFinite(line) && { line }),
    ...(isMessages(before) && { before }),
    ...(typeof expected === 'string' && { expected }),
    ...(typeof exact === 'boolean' && { exact }),
  };
}

const isMessages = (value: unknown): value is readonly SampleMessage[] =>
  Array.isArray(value) &&
  value.every(
    (item) =>
      isObject(item) && typeof item['role'] === 'string' && typeof item['text'] === 'string',
  );

function asScores(value: Readonly<Record<string, unknown>>): Scores {
  const known = SCORE_NAMES.filter((name) => typeof value[name] === 'number');
  return {
    ...Object.fromEntries(known.map((name) => [name, value[name]])),
    ...comparedScores(value),
  };
}

function comparedScores(value: Readonly<Record<string, unknown>>): ComparedScores {
  const known = COMPARED_FIELDS.filter((name) => typeof value[name] === 'number');
  return Object.fromEntries(known.map((name) => [name, value[name]]));
}

function sourceLosses(values: readonly unknown[]): SourceLoss[] {
  return values.flatMap((value) =>
    isObject(value) && typeof value['name'] === 'string'
      ? [
          {
            name: value['name'],
            loss: orNaN(value['loss']),
            labelled_tokens: orNaN(value['labelled_tokens']),
          },
        ]
      : [],
  );
}

function isBatchRows(value: unknown): value is BatchLine['rows'] {
  return (
    Array.isArray(value) &&
    value.every(
      (row) =>
        isObject(row) &&
        Number.isFinite(row['line']) &&
        Array.isArray(row['pieces']) &&
        row['pieces'].every(isBatchPiece),
    )
  );
}

const isBatchPiece = (value: unknown): value is BatchPiece =>
  isObject(value) && typeof value['text'] === 'string' && typeof value['labelled'] === 'boolean';

const orNaN = (value: unknown): number => (typeof value === 'number' ? value : NaN);
