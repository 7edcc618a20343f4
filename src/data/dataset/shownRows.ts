import { linesOf } from '../examples/example';
import { sampleAnswer, sampleText, selectSampleRows, type SampleRow } from '../examples/sampleRows';
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

async function sampleRow(tokenized: TokenizedSet, index: number): Promise<SampleRow> {
  const { facts, examples } = tokenized;
  const { dataset, tokenizer } = fileOf(tokenized, index);
  const example = examples.at(index);
  const line = linesOf(example)[0]!;
  const row = await dataset.rowAt(line, facts.offsetAt(index));
  // as it was encoded, with the system message where the template accepts it
  const encoded = row && tokenizer.add(row);
  if (!encoded) throw changedWhileRead(dataset.path);
  const answer = sampleAnswer(encoded);
  const words = encoded.row.kind === 'tagged' ? encoded.row.tokens : [];
  return { text: sampleText(encoded.row, answer), line, example, words, answer };
}
