import type { TokensImage } from './rowImages';

/** How many numbers an image has before the characters of its path. */
const IMAGE_NUMBERS = 5;

/** Two arrays for each image: its numbers, and the characters of its path. */
export const imageRecords = (images: readonly TokensImage[]): Int32Array[] =>
  images.flatMap(({ file, at, tokens, grid: { height, width } }) => [
    Int32Array.of(at, tokens, height, width, file.length),
    charactersOf(file),
  ]);

/** The first `count` images of a record, and where they end in it. */
export function readImageRecords(
  record: Int32Array,
  count: number,
): { readonly images: readonly TokensImage[]; readonly end: number } {
  let end = 0;
  const images = Array.from({ length: count }, (): TokensImage => {
    const own = record.subarray(end);
    const [at, tokens, height, width, length] = own as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    end += IMAGE_NUMBERS + length;
    const file = textOf(own.subarray(IMAGE_NUMBERS, IMAGE_NUMBERS + length));
    return { file, at, tokens, grid: { height, width } };
  });
  return { images, end };
}

export const charactersOf = (text: string): Int32Array =>
  Int32Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));

/** The text of any number of characters: an image within its row has millions. */
export const textOf = (characters: Int32Array): string =>
  Buffer.from(Uint16Array.from(characters).buffer).toString('utf16le');
