import type { ColumnNames, ColumnTarget } from '../../shared/datasetSources';
import type { RowForm } from '../../shared/objective';
import type { Columns } from './columns';
import { nearestKey, quote } from './describe';
import type { RowReport } from './rowReport';

/** Names of columns that mean the same, by the name that rows have here. */
type Meanings = Readonly<Partial<Record<ColumnTarget, readonly string[]>>>;

const ANSWERED: Meanings = {
  prompt: ['prompt', 'question', 'query', 'problem', 'instruction', 'input'],
  completion: ['completion', 'answer', 'response', 'output', 'solution'],
};
const TEXTS = ['text', 'content', 'review', 'document', 'body'];

/** What columns of other names mean, if a row has one for each; the first that fits applies. */
const KNOWN: Readonly<Partial<Record<RowForm, readonly Meanings[]>>> = {
  causal_lm: [
    {
      instruction: ['instruction', 'question', 'query'],
      input: ['context', 'input'],
      output: ['output', 'response', 'answer'],
    },
    ANSWERED,
    { text: ['content', 'document', 'body'] },
  ],
  seq2seq_lm: [
    {
      instruction: ['instruction', 'question', 'query'],
      input: ['context', 'input'],
      output: ['output', 'response', 'answer'],
    },
    {
      prompt: [...ANSWERED.prompt!, 'source', 'text', 'document', 'article', 'dialogue'],
      completion: [...ANSWERED.completion!, 'target', 'summary', 'highlights'],
    },
  ],
  preference: [{ prompt: ANSWERED.prompt!, chosen: ['chosen'], rejected: ['rejected'] }],
  unpaired: [{ ...ANSWERED, label: ['label'] }],
  reranker: [
    {
      query: ['query', 'question', 'sentence1'],
      document: ['document', 'text', 'passage', 'answer', 'sentence2'],
      score: ['score', 'label', 'similarity', 'relevance'],
    },
  ],
  seq_cls: [{ text: TEXTS, label: ['label', 'class', 'category', 'sentiment'] }],
};

/**
 * What the names of the data mean, where a row has no known format: {"question", "answer"} is
 * prompt and completion. Null: nothing fits, or more than one column could be meant.
 */
export function knownNames(keys: readonly string[], form: RowForm): ColumnNames | null {
  for (const meanings of KNOWN[form] ?? []) {
    const found = Object.entries(meanings).map(
      ([target, names]) => [target, names.filter((name) => keys.includes(name))] as const,
    );
    if (found.every(([, names]) => names.length === 1))
      return Object.fromEntries(found.map(([target, [name]]) => [target, name]));
  }
  return null;
}

const pairsOf = (names: ColumnNames): (readonly [string, string])[] =>
  Object.entries(names).flatMap(([target, name]) => (name === undefined ? [] : [[target, name]]));

/** The columns with the names that they should have; the others keep theirs. */
export function renamed(columns: Columns, names: ColumnNames): Columns {
  const pairs = pairsOf(names);
  if (pairs.length === 0) return columns;
  const taken = new Set<string>(pairs.flat());
  const others = Object.entries(columns).filter(([key]) => !taken.has(key));
  const own = pairs
    .filter(([, name]) => Object.hasOwn(columns, name))
    .map(([target, name]) => [target, columns[name]] as const);
  return Object.fromEntries([...own, ...others]);
}

/** Reports columns that "columns" names and a row does not have. */
export function checkNames(columns: Columns, names: ColumnNames, report: RowReport): boolean {
  const keys = Object.keys(columns);
  let isComplete = true;
  for (const [target, name] of pairsOf(names)) {
    if (Object.hasOwn(columns, name)) continue;
    const near = nearestKey(name, keys);
    const hint =
      near === undefined
        ? `the row has ${keys.slice(0, 8).map(quote).join(', ') || 'none'}`
        : `did you mean ${quote(near)}?`;
    report.error(`There is no column ${quote(name)}, which "columns" gives as ${target}: ${hint}`);
    isComplete = false;
  }
  return isComplete;
}
