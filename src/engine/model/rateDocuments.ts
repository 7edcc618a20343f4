import type { DataTools } from '../../data/dataset/prepare';
import { ProblemCollector, throwErrors } from '../../data/dataset/problems';
import { collate, paddingId } from '../../data/examples/batch';
import type { RankingExample } from '../../data/examples/example';
import { taskTokenizer } from '../../data/tasks/tokenizeTaskRows';
import type { Model } from '../../models/model';

/** What a model reads, such as `dataToolsOf` returns. */
type ReadingTools = Omit<DataTools, 'onProgress'>;

/** Documents that are rated for a query. */
export interface DocumentQuestion {
  readonly query: string;
  readonly texts: readonly string[];
  /** Longest query with a document, in tokens: documents are cut. */
  readonly max_length: number;
}

/** A query with one document, as a model reads both. */
export interface ReadDocument {
  readonly example: RankingExample;
  /** Tokens before it was cut. */
  readonly length: number;
}

const DOCUMENTS_PER_PASS = 16;
/** Tokens of one pass, the padding included. */
const PASS_TOKENS = 8192;

/**
 * The tokens of each document with the query.
 *
 * @param file What a text that the model has no tokens for is reported of.
 * @throws LoraError('dataset') for such a text
 */
export function readDocuments(
  { max_positions, ...tools }: ReadingTools,
  { query, texts, max_length }: DocumentQuestion,
  file: string,
): readonly ReadDocument[] {
  const problems = new ProblemCollector(file);
  const rows = taskTokenizer(problems, {
    ...tools,
    labels: null,
    image_length: 1,
    max_length: Math.min(max_length, max_positions),
    ranking_loss: 'MSELoss',
  });
  const read = texts.map((text, i) => {
    const row = { documents: [text], scores: [0], isList: false };
    return rows.add({ kind: 'ranking', line: i + 1, query, ...row });
  });
  throwErrors(problems.problems());
  return read as ReadDocument[];
}

/**
 * The only output of a model for each document.
 *
 * @param between Called before each pass.
 */
export async function rateDocuments(
  model: Model,
  { tokenizer, vocab_size }: ReadingTools,
  documents: readonly ReadDocument[],
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<number[]> {
  const padId = paddingId(tokenizer, vocab_size);
  const longest = Math.max(0, ...documents.map(({ example }) => lengthOf(example)));
  const count = Math.min(DOCUMENTS_PER_PASS, Math.max(1, Math.floor(PASS_TOKENS / longest)));
  const scores: number[] = [];
  for (let i = 0; i < documents.length; i += count) {
    await between();
    const batch = documents.slice(i, i + count).map(({ example }) => example);
    scores.push(...(await model.logits(collate(batch, padId))));
  }
  return scores;
}

const lengthOf = ({ texts }: RankingExample): number =>
  Math.max(...texts.map(({ input_ids }) => input_ids.length));
