import path from 'node:path';
import { imagesOf, type Chat, type Span } from '../chat/chat';
import { tokensOfGrid, type ChatImages } from '../images/chatImages';
import { imageName, isEmbedded } from '../images/embedded';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import type { EncodedRow, TokensImage } from './encodedRow';

export type { TokensImage } from './encodedRow';

/** Reads the images of rows: a reader and the folder of their file, or why there is none. */
export type RowImages =
  { readonly reader: ChatImages; readonly folder: string } | { readonly refused: string };

/** Where nothing else is said. */
export const NO_IMAGES: RowImages = { refused: 'Images in chats are not supported here' };

/** @throws LoraError('dataset') for a chat with images where they are refused */
export function checkImagesRead({ messages }: Chat, images: RowImages): void {
  const { length } = imagesOf(messages);
  if (length === 0 || !('refused' in images)) return;
  throw new LoraError('dataset', `The row has ${countOf(length, 'image')}. ${images.refused}.`);
}

/**
 * An encoded chat with each image's placeholder as many times as the image has tokens, none of
 * which is learned.
 *
 * @throws LoraError for an image that cannot be read, a chat template that does not write one
 *   placeholder for each image, or where images are refused
 */
export function withImages(encoded: EncodedRow, { messages }: Chat, images: RowImages): EncodedRow {
  const files = imagesOf(messages);
  if (files.length === 0) return encoded;
  checkImagesRead({ messages }, images);
  if ('refused' in images) return encoded;
  const { reader, folder } = images;
  const places = encoded.ids.flatMap((id, i) => (id === reader.image_token ? [i] : []));
  if (places.length !== files.length)
    throw new LoraError(
      'tokenizer',
      `The row has ${countOf(files.length, 'image')}, but its text has ${countOf(places.length, 'place')} for images.`,
      {
        fix: 'Use the chat template of the model, and put images into messages of the user; a text cannot have the placeholder itself.',
      },
    );
  const ids: number[] = [];
  const placed: TokensImage[] = [];
  for (const id of encoded.ids) {
    if (id !== reader.image_token) {
      ids.push(id);
      continue;
    }
    const image = files[placed.length]!;
    const file = isEmbedded(image) ? image : path.resolve(folder, image);
    const grid = reader.gridOf(file);
    const tokens = tokensOfGrid(grid, reader.merge);
    placed.push({ file, at: ids.length, tokens, grid });
    for (let n = 0; n < tokens; n++) ids.push(id);
  }
  const moved = (at: number) =>
    placed.reduce((sum, { tokens }, i) => (places[i]! < at ? sum + tokens - 1 : sum), at);
  const movedSpan = ({ start, end }: Span): Span => ({ start: moved(start), end: moved(end) });
  return {
    ...encoded,
    ids,
    labelled: encoded.labelled.map(movedSpan),
    unlearnt: [
      ...encoded.unlearnt.map(movedSpan),
      ...placed.map(({ at, tokens }) => ({ start: at, end: at + tokens })),
    ],
    images: placed,
    reader,
  };
}

/** The problem of a row that is truncated within or before an image; null: none. */
export function cutImageFault(images: readonly TokensImage[], max_length: number): string | null {
  const cut = images.find(({ at, tokens }) => at + tokens > max_length);
  return cut
    ? `The image ${imageName(cut.file)} takes the tokens ${cut.at + 1} to ${cut.at + cut.tokens} of the row, but max_length is ${max_length}. Raise max_length, make the image smaller, or lower max_pixels in the model's image settings`
    : null;
}

/** An image among the tokens of a row, by its size. */
type SizedImage = Pick<TokensImage, 'at' | 'tokens' | 'grid'>;

/** The positions of tokens in time, and along the height and width of images. */
export interface RowPositions {
  readonly times: Int32Array;
  readonly heights: Int32Array;
  readonly widths: Int32Array;
  /** The position of a token after them. */
  readonly next: number;
}

/**
 * The positions of a row's tokens as Qwen3-VL counts them (get_rope_index of transformers): a
 * text's by one; those of an image begin at one time, with its rows and columns of tokens beside,
 * and what follows counts on from the longer side.
 */
export function rowPositions(length: number, images: readonly SizedImage[]): RowPositions {
  const [times, heights, widths] = [0, 1, 2].map(() => new Int32Array(length)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let [at, next] = [0, 0];
  const textUpTo = (end: number) => {
    for (; at < end; at++, next++) times[at] = heights[at] = widths[at] = next;
  };
  for (const { at: start, tokens, grid } of images) {
    textUpTo(start);
    const columns = Math.sqrt((tokens * grid.width) / grid.height);
    for (let i = 0; i < tokens; i++, at++) {
      times[at] = next;
      heights[at] = next + Math.floor(i / columns);
      widths[at] = next + (i % columns);
    }
    next += Math.max(columns, tokens / columns);
  }
  textUpTo(length);
  return { times, heights, widths, next };
}
