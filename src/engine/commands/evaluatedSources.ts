import * as v from 'valibot';
import { readData, type DataRecipe, type ReadData } from '../../data/dataset/prepare';
import { throwErrors } from '../../data/dataset/problems';
import { listSources } from '../../data/dataset/sources';
import { openTable } from '../../formats/tables/openTable';
import type { RawRow } from '../../formats/tables/table';
import {
  DatasetSchema,
  sourceName,
  sourcesOf,
  type DatasetSetting,
  type DatasetSource,
} from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { countOf, isObject } from '../../shared/values';
import { hubFiles } from '../download/datasetHub';

/** The results of evaluating a source, or all of them. */
export interface Evaluated {
  readonly examples: number;
  readonly labelled: number;
  readonly loss: number;
  /** By which the loss counts among those of other sources. */
  readonly weight: number;
  /** Scores by their names. */
  readonly scores: Readonly<Record<string, number>>;
}

/** A source with its results. */
export interface EvaluatedSource extends Evaluated {
  readonly source: DatasetSource;
}

/**
 * The sources that --dataset names: each a path, or JSON as the recipe's "dataset".
 *
 * @throws LoraError('usage')
 */
export const evaluatedSources = (given: readonly string[]): readonly DatasetSource[] =>
  given.flatMap((text) => sourcesOf(settingIn(text))).map(withoutWeight);

function settingIn(text: string): DatasetSetting {
  if (!/^\s*[[{]/.test(text)) return text;
  const fix = 'Write it as in the recipe: {"path": "a.jsonl", "rows": 1000}, or a list of them.';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new LoraError('usage', '--dataset is not valid JSON.', { fix, cause: error });
  }
  const { success, output, issues } = v.safeParse(DatasetSchema, value);
  if (success) return output;
  throw new LoraError('usage', `--dataset ${ruleOf(issues[0])}.`, { fix });
}

function withoutWeight(source: DatasetSource): DatasetSource {
  if (source.weight === 1) return source;
  throw new LoraError('usage', `${sourceName(source)} has a weight.`, {
    fix: 'Leave it out: in an evaluation each row counts once.',
  });
}

/** A source as the recipe's "dataset". */
export const settingOf = (source: DatasetSource): DatasetSetting => {
  const { path, config, split, rows, columns } = source;
  return {
    path,
    columns,
    ...(config !== null && { config }),
    ...(split !== null && { split }),
    ...(rows !== null && { rows }),
  };
};

/** Reads the rows of a source. @throws LoraError('dataset') for errors in rows, and without any */
export async function readSource(
  recipe: DataRecipe,
  known: readonly string[] | null,
): Promise<ReadData> {
  const read = await readData(recipe, known, { hub: hubFiles() });
  throwErrors(read.datasets.flatMap(({ problems }) => problems));
  if (read.datasets.every(({ rows }) => rows === 0))
    throw new LoraError('dataset', 'The dataset has no rows.', {
      place: { file: read.datasets[0]?.path ?? '' },
    });
  return read;
}

/** The keys of a source's first row; none where it cannot be read, which is reported later. */
export async function firstRowKeys(source: DatasetSource): Promise<readonly string[]> {
  const dataset = settingOf(source);
  const named = { task: 'causal_lm', dataset, validation: null } as const;
  const listed = await listSources(named, hubFiles()).catch(() => []);
  const file = listed[0]?.files[0];
  const table = file === undefined ? null : await openTable(file).catch(() => null);
  if (!table) return [];
  try {
    for await (const [row] of table.rows()) return row ? readKeys(row, source) : [];
    return [];
  } catch {
    return [];
  } finally {
    await table.close();
  }
}

/** With the names that "columns" gives them. */
function readKeys(raw: RawRow, { columns }: DatasetSource): readonly string[] {
  const keys = keysOf(raw);
  const named = Object.entries(columns).flatMap(([target, name]) =>
    name !== undefined && keys.includes(name) ? [target] : [],
  );
  return [...keys, ...named];
}

function keysOf(raw: RawRow): readonly string[] {
  if (raw.kind !== 'json') return raw.kind === 'values' ? Object.keys(raw.values) : [];
  const row: unknown = JSON.parse(raw.bytes?.toString('utf8') ?? 'null');
  return isObject(row) ? Object.keys(row) : [];
}

/** All sources as one, but for the scores. */
export function together(parts: readonly Evaluated[]): Omit<Evaluated, 'scores'> {
  const sum = (of: (part: Evaluated) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  const weight = sum((part) => part.weight);
  return {
    examples: sum(({ examples }) => examples),
    labelled: sum(({ labelled }) => labelled),
    weight,
    loss: sum((part) => part.loss * part.weight) / weight,
  };
}

/** Several sources as --json prints them; nothing for a single one. */
export function sourceFacts(parts: readonly EvaluatedSource[]): object {
  if (parts.length < 2) return {};
  const { examples: all } = together(parts);
  const sources = parts.map(({ source, examples, labelled, loss, scores }) => ({
    dataset: sourceName(source),
    examples,
    share: examples / all,
    labelled,
    loss,
    ...scores,
  }));
  return { sources };
}

/** Several sources, one a line; nothing for a single one. */
export function describeSources(parts: readonly EvaluatedSource[]): string[] {
  if (parts.length < 2) return [];
  const { examples: all } = together(parts);
  return parts.map(({ source, examples, loss, scores }) => {
    const share = `${countOf(examples, 'row')} (${Math.round((100 * examples) / all)}%)`;
    return `  ${sourceName(source)}: ${[share, ...describeValues({ loss, ...scores })].join(', ')}`;
  });
}

/** "loss 0.1234", "accuracy 0.9000" */
export const describeValues = (values: Readonly<Record<string, number>>): string[] =>
  Object.entries(values).map(([name, value]) => `${name} ${value.toFixed(4)}`);
