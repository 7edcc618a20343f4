/**
 * One line of a run's metrics.jsonl. Losses are in nats per labelled token; memory in bytes; times
 * in seconds of training.
 */
export type MetricLine = StepLine | EvalLine | SampleLine | CheckpointLine | ResumeLine | BatchLine;

/** After each optimizer step. */
export interface StepLine {
  readonly kind: 'step';
  readonly step: number;
  /** Fraction of epochs done. */
  readonly epoch: number;
  /** Mean over the labels of this step. */
  readonly loss: number;
  /** Total L2 norm of the gradients, before clipping. */
  readonly grad_norm: number;
  /** The rate that this step used. */
  readonly learning_rate: number;
  /** Tokens of this step without padding, and those that carry a label. */
  readonly tokens: number;
  readonly labelled_tokens: number;
  readonly tokens_per_second: number;
  /** Resident memory of the engine. */
  readonly memory: number;
  /** Seconds of training so far, pauses left out. */
  readonly elapsed: number;
}

/**
 * How good a model is at its task: shares from 0 to 1, but perplexity = exp(loss), rmse in the
 * labels' unit, pearson and cosine from -1 to 1. retrieval: how often a text's own partner is the
 * nearest.
 */
export const SCORE_NAMES = [
  'perplexity',
  'accuracy',
  'f1',
  'rmse',
  'pearson',
  'cosine',
  'retrieval',
] as const;
export type ScoreName = (typeof SCORE_NAMES)[number];
export type Scores = Readonly<Partial<Record<ScoreName, number>>>;

/** Loss on the validation set; step 0 is before training. */
export interface EvalLine {
  readonly kind: 'eval';
  readonly step: number;
  readonly loss: number;
  readonly labelled_tokens: number;
  /** Runs of older versions have none. */
  readonly scores?: Scores;
  readonly elapsed: number;
}

/** What the model answers at this step (greedy), or says of a row; step 0 is before training. */
export interface SampleLine {
  readonly kind: 'sample';
  readonly step: number;
  readonly prompt: string;
  readonly completion: string;
}

export interface CheckpointLine {
  readonly kind: 'checkpoint';
  readonly step: number;
  /** Relative to the run's folder. */
  readonly path: string;
}

/**
 * Training went on from the checkpoint of this step: earlier lines of later steps no longer count.
 */
export interface ResumeLine {
  readonly kind: 'resume';
  readonly step: number;
}

/** A part of an example that is learnt, or only given. */
export interface BatchPiece {
  readonly text: string;
  readonly labelled: boolean;
}

/** The first batch as the model reads it, written before training. */
export interface BatchLine {
  readonly kind: 'batch';
  /** 0 */
  readonly step: number;
  /** By their line in the dataset. */
  readonly rows: readonly { readonly line: number; readonly pieces: readonly BatchPiece[] }[];
}

/** Reads metrics.jsonl: a torn last line is dropped, lines undone by a resume are left out. */
export function parseMetrics(text: string): MetricLine[] {
  const complete = text.split('\n').slice(0, -1);
  return dropUndone(complete.flatMap(parseLine));
}

function parseLine(text: string): MetricLine[] {
  try {
    const value: unknown = JSON.parse(text);
    return isMetricLine(value) ? [value] : [];
  } catch {
    return [];
  }
}

const KINDS: ReadonlySet<string> = new Set<MetricLine['kind']>([
  'step',
  'eval',
  'sample',
  'checkpoint',
  'resume',
  'batch',
]);

export function isMetricLine(value: unknown): value is MetricLine {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    typeof value.kind === 'string' &&
    KINDS.has(value.kind) &&
    'step' in value &&
    typeof value.step === 'number'
  );
}

/** Adds a line to a history in step order; a resume line removes what it undoes. */
export function appendMetric(history: MetricLine[], line: MetricLine): void {
  if (line.kind === 'resume') {
    for (let i = history.length - 1; i >= 0; i--)
      if (history[i]!.step > line.step) history.splice(i, 1);
  }
  history.push(line);
}

function dropUndone(lines: readonly MetricLine[]): MetricLine[] {
  const history: MetricLine[] = [];
  for (const line of lines) appendMetric(history, line);
  return history;
}
