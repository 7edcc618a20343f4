import type { EvalLine, MetricLine, StepLine } from '../../shared/metrics/lines';
import { STEP_FIELDS, type StepField } from '../../shared/metrics/table';

/** Programs whose logs are read. */
export type LogProgram = 'transformers' | 'TensorBoard' | 'mlx-lm';

/** What a log of another program says of a training run. */
export interface ImportedLog {
  readonly program: LogProgram;
  /** Steps and evaluations, steps rising. */
  readonly lines: readonly MetricLine[];
  /** Milliseconds since 1970; null: the log does not say. */
  readonly started: number | null;
  readonly total_steps: number | null;
  /** Settings of the recipe's `training`, as far as the log names them. */
  readonly training: Readonly<Record<string, number>>;
}

/** An untrusted log may never end. */
export const MAX_LOG_LINES = 1_000_000;

type StepValues = Partial<Record<StepField, number>> & { readonly step: number };

/** A step line of which only some numbers are known. */
export function stepLine(values: StepValues): StepLine {
  const line = { kind: 'step' } as { kind: 'step' } & Record<StepField, number>;
  for (const field of STEP_FIELDS) line[field] = values[field] ?? NaN;
  return line;
}

export const evalLine = (step: number, loss: number, elapsed = NaN): EvalLine => ({
  ...{ kind: 'eval', step, loss, labelled_tokens: NaN, elapsed },
});

/** Lines by their steps; of several of a kind at a step the last. */
export function inOrder(lines: readonly (StepLine | EvalLine)[]): readonly MetricLine[] {
  const known = new Map(lines.map((line) => [`${line.kind} ${line.step}`, line]));
  return [...known.values()].sort(
    (a, b) => a.step - b.step || Number(a.kind === 'eval') - Number(b.kind === 'eval'),
  );
}

/** Whether a value can be the number of a step. */
export const isStep = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31;

export const numberOr = <T>(value: unknown, other: T): number | T =>
  typeof value === 'number' && Number.isFinite(value) ? value : other;
