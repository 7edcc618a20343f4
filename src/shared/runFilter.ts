import {
  isNumberColumn,
  RUN_COLUMN_IDS,
  RUN_COLUMNS,
  type NumberColumnId,
  type RunCells,
  type RunColumn,
} from './runColumns';

type Comparison = '<' | '<=' | '>' | '>=' | '=' | '!=';

interface Condition {
  readonly column: NumberColumnId;
  readonly comparison: Comparison;
  readonly value: number;
}

/** A filter of runs: all of it must hold. */
export interface RunFilter {
  readonly words: readonly string[];
  readonly conditions: readonly Condition[];
}

const NUMBER_COLUMNS = RUN_COLUMN_IDS.filter(isNumberColumn);
const CONDITION = /^([a-z_]+)(<=|>=|!=|<|>|=)(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/;

/** Parses a filter: words, and comparisons of numbers as in `loss<0.4 r>=8`. */
export function parseRunFilter(text: string): RunFilter {
  const words: string[] = [];
  const conditions: Condition[] = [];
  // spaces around a sign belong to the comparison
  const tight = text.toLowerCase().replace(/\s*(<=|>=|!=|<|>|=)\s*/g, '$1');
  for (const word of tight.split(/\s+/).filter(Boolean)) {
    const condition = conditionOf(word);
    if (condition) conditions.push(condition);
    else words.push(word);
  }
  return { words, conditions };
}

function conditionOf(word: string): Condition | null {
  const [, name, comparison, value] = CONDITION.exec(word) ?? [];
  const column = NUMBER_COLUMNS.find((id) => id === name || aliasesOf(id).includes(name ?? ''));
  return column ? { column, comparison: comparison as Comparison, value: Number(value) } : null;
}

const aliasesOf = (id: NumberColumnId): readonly string[] =>
  (RUN_COLUMNS[id] as RunColumn).aliases ?? [];

/** Whether a run fits a filter. A number that is not known fits no comparison. */
export const fitsFilter = (
  { search, numbers }: Pick<RunCells, 'search' | 'numbers'>,
  { words, conditions }: RunFilter,
): boolean =>
  words.every((word) => search.includes(word)) &&
  conditions.every(({ column, comparison, value }) => {
    const number = numbers[column];
    return number !== null && holds(number, comparison, value);
  });

function holds(number: number, comparison: Comparison, value: number): boolean {
  switch (comparison) {
    case '<':
      return number < value;
    case '<=':
      return number <= value;
    case '>':
      return number > value;
    case '>=':
      return number >= value;
    case '=':
      return number === value;
    case '!=':
      return number !== value;
  }
}
