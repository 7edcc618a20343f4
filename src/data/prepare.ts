import { LoraError, type Problem } from '../shared/errors';
import type { Recipe } from '../shared/recipe';
import type { FileFingerprint } from '../shared/run';
import { splitExamples } from './batches';
import { scanDataset, type Dataset } from './dataset';
import { throwErrors } from './problems';
import { statisticsOf, tokenizeRows, type DataStatistics, type TokenizedRows } from './tokenize';
import type { Example, Row, Tokenizer } from './types';

export type DataRecipe = Pick<Recipe, 'dataset' | 'validation' | 'validation_split' | 'labels' | 'chats' | 'unlabelled_rows'> & {
  readonly training: Pick<Recipe['training'], 'max_length' | 'seed'>;
};

export interface PreparedData {
  readonly train: readonly Example[];
  readonly validation: readonly Example[];
  readonly statistics: { readonly train: DataStatistics; readonly validation: DataStatistics };
  /** The first prompts of the validation set, or of the training set where there is none: at most two. */
  readonly prompts: readonly string[];
  readonly warnings: readonly Problem[];
  readonly fingerprint: readonly FileFingerprint[];
}

export interface PrepareOptions {
  /** Rows of the model's embedding; left out: the tokenizer's vocabulary. */
  readonly vocab_size?: number;
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

const PROMPTS = 2;
const ROWS_BETWEEN_REPORTS = 256;

/**
 * Reads and tokenizes a recipe's datasets (absolute paths) and splits off the validation set.
 * Errors: LoraError('dataset') with every fault of every row of both files.
 */
export async function prepareData(recipe: DataRecipe, tokenizer: Tokenizer, options: PrepareOptions = {}): Promise<PreparedData> {
  const datasets = [await scanDataset(recipe.dataset, recipe), ...(recipe.validation === null ? [] : [await scanDataset(recipe.validation, recipe)])];
  const tokenized = tokenizeAll(datasets, recipe, tokenizer, options);
  const problems = datasets.flatMap((dataset, i) => [...dataset.problems, ...tokenized[i]!.problems]);
  throwErrors(problems);
  for (const [i, { path }] of datasets.entries()) if (tokenized[i]!.examples.length === 0) throw noneLeft(path, problems);
  const [train, validation] = recipe.validation === null ? split(tokenized[0]!, recipe) : [tokenized[0]!, tokenized[1]!];
  return {
    train: train.examples,
    validation: validation.examples,
    statistics: { train: statisticsOf(train), validation: statisticsOf(validation) },
    prompts: firstPrompts(validation.rows.length > 0 ? validation.rows : train.rows),
    warnings: problems,
    fingerprint: datasets.flatMap((dataset) => dataset.fingerprint ?? []),
  };
}

/** Rows can be skipped until none is left. */
function noneLeft(file: string, problems: readonly Problem[]): LoraError {
  return new LoraError('dataset', 'No row of the dataset can be learnt from: all are left out.', {
    place: { file }, problems: problems.filter((problem) => problem.place?.file === file), fix: 'Correct the rows, raise max_length, or change what "chats" and "unlabelled_rows" in the recipe do with them.',
  });
}

type Part = Pick<TokenizedRows, 'examples' | 'rows' | 'lengths'>;

function tokenizeAll(datasets: readonly Dataset[], recipe: DataRecipe, tokenizer: Tokenizer, { vocab_size, onProgress }: PrepareOptions): TokenizedRows[] {
  const settings = { max_length: recipe.training.max_length, labels: recipe.labels, rows: recipe, ...(vocab_size !== undefined && { vocab_size }) };
  const total = datasets.reduce((sum, dataset) => sum + dataset.rows.length, 0);
  let before = 0;
  return datasets.map(({ path, rows }) => {
    const tokenized = tokenizeRows(path, rows, tokenizer, settings, (done) => {
      if (done % ROWS_BETWEEN_REPORTS === 0) onProgress?.((before + done) / total);
    });
    before += rows.length;
    if (total > 0) onProgress?.(before / total);
    return tokenized;
  });
}

function split({ examples, rows, lengths }: Part, { validation_split, training }: DataRecipe): [Part, Part] {
  const { train, validation } = splitExamples([...examples.keys()], validation_split, training.seed);
  const part = (drawn: readonly number[]) => ({ examples: drawn.map((i) => examples[i]!), rows: drawn.map((i) => rows[i]!), lengths: drawn.map((i) => lengths[i]!) });
  return [part(train), part(validation)];
}

function firstPrompts(rows: readonly Row[]): string[] {
  const prompts: string[] = [];
  for (const row of rows) {
    if (prompts.length === PROMPTS) break;
    const prompt = promptOf(row);
    if (prompt) prompts.push(prompt);
  }
  return prompts;
}

function promptOf(row: Row): string | undefined {
  if (row.kind === 'completion') return row.prompt;
  return row.kind === 'messages' ? row.messages.find((message) => message.role === 'user')?.content : undefined;
}
