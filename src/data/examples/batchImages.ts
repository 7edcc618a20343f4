import type { ChatImages } from '../images/chatImages';
import { imageVersion } from '../images/keptPictures';
import { readImageOf } from '../images/readRows';
import { filled, type Batch, type BatchImage } from './batch';
import { lengthOf, type Sequence, type TokenExample } from './example';
import { rowPositions, type RowPositions, type TokensImage } from './rowImages';

/** A batch of sequences with the images of its examples; the same batch if they have none. */
export function withBatchImages(
  batch: Batch,
  examples: readonly TokenExample[],
  reader: ChatImages | null,
): Batch {
  const rows = picturedRows(examples);
  if (rows.every(({ images }) => images.length === 0)) return batch;
  if (!reader) throw new Error('There is no reader for the images of the examples.');
  const { length } = batch;
  const positions = rows.map((row) => rowPositions(row.length, row.images));
  const all = (name: 'times' | 'heights' | 'widths') =>
    filled(
      batch,
      positions.map((own) => own[name]),
      0,
    );
  return {
    ...batch,
    position_ids: all('times'),
    spatial_ids: { heights: all('heights'), widths: all('widths') },
    placed_images: rows.flatMap(({ images, line }, row) =>
      placedIn(images, reader, line).map((image) => ({
        ...image,
        at: row * length + image.at,
      })),
    ),
  };
}

/** A row of a batch with its images. */
interface PicturedRow {
  readonly images: readonly TokensImage[];
  /** In tokens, without padding. */
  readonly length: number;
  /** In the dataset; null: it is of no dataset. */
  readonly line: number | null;
}

/** The rows of a batch as `collate` puts them. */
function picturedRows(examples: readonly TokenExample[]): readonly PicturedRow[] {
  const rowOf = ({ input_ids, images = [] }: Sequence, line: number): PicturedRow => ({
    images,
    length: input_ids.length,
    line,
  });
  const pairs = examples.filter((example) => example.kind === 'preference');
  if (pairs.length > 0)
    return [
      ...pairs.map(({ chosen, line }) => rowOf(chosen, line)),
      ...pairs.map(({ rejected, line }) => rowOf(rejected, line)),
    ];
  return examples.map((example) => {
    if (example.kind === 'packed' && example.parts.some(({ images }) => images))
      throw new Error('Rows with images cannot be packed.');
    if (example.kind === 'unpaired') return rowOf(example.answer, example.line);
    return example.kind === 'tokens'
      ? rowOf(example, example.line)
      : { images: [], length: lengthOf(example), line: null };
  });
}

/** The images of a prompt, and the positions of its tokens. */
export interface PromptImages extends RowPositions {
  readonly placed: readonly BatchImage[];
}

/** The images that are whole within the first tokens of a row; null: there are none. */
export function promptImages(
  length: number,
  images: readonly TokensImage[],
  reader: ChatImages,
): PromptImages | null {
  const own = images.filter(({ at, tokens }) => at + tokens <= length);
  if (own.length === 0) return null;
  return { ...rowPositions(length, own), placed: placedIn(own, reader, null) };
}

/** The images of a single row; without a line, of a prompt. */
const placedIn = (
  images: readonly TokensImage[],
  reader: ChatImages,
  line: number | null,
): BatchImage[] =>
  images.map(({ file, at, grid }) => ({
    file,
    at,
    grid,
    key: async () => `${grid.height} ${grid.width} ${await imageVersion(file)}`,
    patches: () =>
      line === null
        ? reader.samples(file, grid)
        : readImageOf({ file, line }, (own) => reader.samples(own, grid)),
  }));
