import path from 'node:path';
import type { TemplateVariables } from '../../shared/chatVariables';
import { methodOf, type RunRecord } from '../../shared/run';
import { distinctNames } from '../runs/distinctNames';
import { isActive, type RunSummary } from '../runs/run';
import type { ServedSubject } from './modelServer';

/** A model that writes text: a base, alone or with the adapter of a finished run. */
export interface Writer extends ServedSubject {
  /** The place of the adapter, or of the model itself. */
  readonly id: string;
  readonly name: string;
  /** The name of its base. */
  readonly base_name: string;
  /** What its chat template got in training. */
  readonly variables: TemplateVariables;
}

/** A finished run, and where its base is on this disk. */
interface FinishedRun {
  readonly run: RunSummary;
  readonly adapter: string | null;
  readonly base: string;
}

/** What to ask about runs. */
export interface RunFacts {
  readonly runs: readonly RunSummary[];
  readonly record: (dir: string) => RunRecord | undefined;
  /** The base of an adapter; null: it is not on this disk. */
  readonly baseOf: (adapter: string) => Promise<string | null>;
}

/** The models of the finished runs that wrote text, newest first, each base once after them. */
export async function writersOf({ runs, record, baseOf }: RunFacts): Promise<readonly Writer[]> {
  const finished: FinishedRun[] = [];
  for (const run of runs) {
    const recipe = record(run.dir)?.recipe;
    if (isActive(run) || !recipe || recipe.task !== 'causal_lm') continue;
    const isFull = methodOf(recipe) === 'full';
    const { adapter, model } = run;
    const base = isFull ? model : adapter && (await baseOf(adapter));
    if (base !== null) finished.push({ run, adapter: isFull ? null : adapter, base });
  }
  return [...tuned(finished), ...bases(finished)];
}

function tuned(finished: readonly FinishedRun[]): readonly Writer[] {
  const names = distinctNames(
    finished.map(({ run, base }) => ({ name: run.name, details: [baseName(base), run.id] })),
  );
  return finished.map(({ run, adapter, base }, i) => ({
    id: adapter ?? base,
    name: names[i]!,
    base,
    adapter,
    base_name: baseName(adapter === null ? (run.base ?? base) : base),
    variables: run.templateVariables ?? {},
  }));
}

function bases(finished: readonly FinishedRun[]): readonly Writer[] {
  const ofAdapters = finished.filter(({ adapter }) => adapter !== null);
  const places = [...new Set(ofAdapters.map(({ base }) => base))];
  const names = distinctNames(
    places.map((base) => ({ name: baseName(base), details: [path.dirname(base)] })),
  );
  return places.map((base, i) => ({
    id: base,
    name: names[i]!,
    base,
    adapter: null,
    base_name: baseName(base),
    variables: {},
  }));
}

const baseName = (base: string): string => path.basename(base, '.gguf');
