import { linesOf } from '../examples/example';
import {
  sampleAnswer,
  sampleAnswers,
  sampleText,
  selectSampleRows,
  type SampleAnswer,
  type SampleRow,
} from '../examples/sampleRows';
import type { TokenizedRow } from '../examples/tokenizeRows';
import { changedWhileRead } from '../../formats/tables/faults';
import { fileOf, type TokenizedSet } from './tokenizedDataset';

/** Some of the examples of a set. */
export interface Part {
  readonly tokenized: TokenizedSet;
  readonly indices: Int32Array;
}

/** Rows that can be shown with the model's prediction, in the order of their set. */
export interface ShownRows {
  readonly length: number;
  /**
   * @throws LoraError('dataset') where the file has changed, LoraError('disk') where the examples
   *   cannot be read
   */
  at(index: number): Promise<SampleRow>;
}

/** The rows of a part that can be shown. */
export function shownRows(part: Part): ShownRows {
  const { indices, tokenized } = part;
  const shown = indices.filter((index) => tokenized.facts.isShownAt(index));
  return { length: shown.length, at: (index) => sampleRow(tokenized, shown[index]!) };
}

/** The rows of a part that are shown during training. */
export async function chosenSamples({ tokenized, indices }: Part): Promise<SampleRow[]> {
  const { facts } = tokenized;
  const chosen = selectSampleRows({
    length: indices.length,
    maybeSorted: indices.length > 0 && facts.maybeSortedAt(indices[0]!),
    isShownAt: (i) => facts.isShownAt(indices[i]!),
  });
  const samples: SampleRow[] = [];
  for (const i of chosen) samples.push(await sampleRow(tokenized, indices[i]!));
  return samples;
}

/** Rows whose answers are checked for their calls at each evaluation: with calls, and without. */
const CALLING_ROWS = 6;
const OTHER_ROWS = 2;
/** Rows of long conversations have many answers. */
const MOST_ANSWERS = 12;

/**
 * The answers of some rows, spread over a part, for how the model calls tools. Empty where no row
 * holds a call.
 */
export async function callAnswers({ tokenized, indices }: Part): Promise<SampleAnswer[]> {
  const { facts } = tokenized;
  const shown = [...indices].filter((index) => facts.isShownAt(index));
  const calling = shown.filter((index) => facts.holdsCallsAt(index));
  if (calling.length === 0) return [];
  const others = shown.filter((index) => !facts.holdsCallsAt(index));
  const chosen = [...spread(calling, CALLING_ROWS), ...spread(others, OTHER_ROWS)];
  const answers: SampleAnswer[] = [];
  for (const index of chosen.sort((a, b) => a - b))
    answers.push(...sampleAnswers(await encodedRow(tokenized, index)));
  return answers.slice(0, MOST_ANSWERS);
}

/** At most so many of the items, at equal distances. */
function spread(items: readonly number[], most: number): number[] {
  const count = Math.min(most, items.length);
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

async function sampleRow(tokenized: TokenizedSet, index: number): Promise<SampleRow> {
  const encoded = await encodedRow(tokenized, index);
  const example = tokenized.examples.at(index);
  const answer = sampleAnswer(encoded);
  const words = encoded.row.kind === 'tagged' ? encoded.row.tokens : [];
  const line = linesOf(example)[0]!;
  return { text: sampleText(encoded.row, answer), line, example, words, answer };
}

/** A row as it was encoded, with the system message where the template accepts it. */
async function encodedRow(tokenized: TokenizedSet, index: number): Promise<TokenizedRow> {
  const { facts, examples } = tokenized;
  const { dataset, tokenizer } = fileOf(tokenized, index);
  const line = linesOf(examples.at(index))[0]!;
  const row = await dataset.rowAt(line, facts.offsetAt(index));
  const encoded = row && tokenizer.add(row);
  if (!encoded) throw changedWhileRead(dataset.path);
  return encoded;
}
