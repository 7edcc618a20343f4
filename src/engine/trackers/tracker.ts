import type { MetricLine } from '../../shared/metrics/lines';
import type { RunRecord } from '../../shared/run';

/** A program that gets the metrics of a run. Errors of its functions are reported once. */
export interface Tracker {
  /** Numbers of a step by their names, such as train/loss. */
  readonly add: (measured: Measured) => Promise<void>;
  /** The run has ended in this process. */
  readonly close: (record: RunRecord) => Promise<void>;
  /** Frees what it holds, after a failure. Absent: nothing. */
  readonly abandon?: () => Promise<void>;
}

/** The run that a tracker is opened for. */
export interface TrackedRun {
  readonly record: RunRecord;
  readonly run_dir: string;
  /** The step after which a resumed run continues; null: it starts. */
  readonly resumed: number | null;
  readonly env: NodeJS.ProcessEnv;
}

/** What was measured at a step. */
export interface Measured {
  readonly step: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly values: Readonly<Record<string, number>>;
}

/** The fields of a step line that say where the run is, or what the machine does. */
const NOT_SHOWN: ReadonlySet<string> = new Set(['kind', 'step', 'elapsed', 'tokens']);

/** The numbers of a line with the names that transformers gives them; null: it has none. */
export function measuredOf(line: MetricLine, time: number): Measured | null {
  if (line.kind === 'step') return measured('train', line, { time, fields: line });
  if (line.kind !== 'eval') return null;
  return measured('eval', line, { time, fields: { loss: line.loss, ...line.scores } });
}

function measured(
  prefix: string,
  { step }: MetricLine,
  { time, fields }: { readonly time: number; readonly fields: object },
): Measured | null {
  const values = Object.entries(fields).filter(
    (entry): entry is [string, number] =>
      !NOT_SHOWN.has(entry[0]) && typeof entry[1] === 'number' && Number.isFinite(entry[1]),
  );
  if (values.length === 0) return null;
  return {
    step,
    time,
    values: Object.fromEntries(values.map(([name, value]) => [`${prefix}/${name}`, value])),
  };
}

/** The settings of a run as texts by their dotted keys. */
export function settingsOf({ recipe, base }: RunRecord): Readonly<Record<string, string>> {
  const { lora, training } = recipe;
  const flat = (prefix: string, group: object) =>
    Object.entries(group).map(([key, value]) => [`${prefix}.${key}`, textOf(value)] as const);
  return Object.fromEntries([
    ['base', base?.name ?? recipe.base],
    ['task', recipe.task],
    ...(training.method === 'full' ? [] : flat('lora', lora)),
    ...flat('training', training),
  ]);
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);
