import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { isInFolder } from '../../common/samePath';
import { isEmbedded } from '../../data/images/embedded';
import { imagesOfRow } from '../../data/images/imageHashes';
import { thumbnailOf, type Thumbnail } from '../../data/images/thumbnail';
import type { Row } from '../../data/rows/row';
import { shownImage } from '../../data/rows/rowTexts';
import type { ShownImage, Turn } from '../../shared/pages/data/protocol';
import { LoraError } from '../../shared/errors';

/** More images of a row are shown by their names only. */
const MOST_SHOWN = 64;

/** The turns of a row, with the places of its images in their texts. */
export function withShownImages(turns: readonly Turn[], row: Row | null): Turn[] {
  const images = row ? imagesOfRow(row).slice(0, MOST_SHOWN) : [];
  let next = 0;
  return turns.map((turn) => {
    const found: ShownImage[] = [];
    let from = 0;
    for (let image = images[next]; image !== undefined; image = images[next]) {
      const place = placeOf(image, turn, from);
      if (!place) break;
      found.push({ ...place, image: next });
      from = place.end;
      next++;
    }
    return found.length === 0 ? turn : { ...turn, images: found };
  });
}

/** The turns of a row whose images are shown by their names only, with spaces around these. */
export const withNamedImages = (turns: readonly Turn[], row: Row | null): Turn[] =>
  withShownImages(turns, row).map(({ role, text, images = [] }) => {
    const ends = [0, ...images.flatMap(({ at, end }) => [at, end]), text.length];
    const parts = ends.slice(1).map((end, i) => text.slice(ends[i], end).trim());
    return images.length === 0
      ? { role, text }
      : { role, text: parts.filter((part) => part !== '').join(' ') };
  });

/** A message has the name of a file in brackets; a column for images has its path alone. */
function placeOf(image: string, { role, text }: Turn, from: number) {
  if (role === 'image') return from === 0 && text === image ? { at: 0, end: text.length } : null;
  const name = shownImage(image);
  const at = text.indexOf(name, from);
  return at < 0 ? null : { at, end: at + name.length };
}

/**
 * A thumbnail of one of a row's images. Files are read in the folder of the dataset only: a dataset
 * may be someone else's, and name files of another machine.
 *
 * @throws LoraError('dataset') where it cannot be read, or is elsewhere
 */
export async function rowThumbnail(
  row: Row | null,
  index: number,
  folder: string,
): Promise<Thumbnail> {
  const image = row ? imagesOfRow(row)[index] : undefined;
  if (image === undefined) throw new LoraError('dataset', 'The row has no such image.');
  if (isEmbedded(image)) return thumbnailOf(image);
  const file = path.resolve(folder, image);
  const outside = new LoraError(
    'dataset',
    'The image is not shown, because it is outside of the folder of the dataset.',
  );
  if (!isInFolder(file, folder)) throw outside;
  const places = await Promise.all([realpath(file), realpath(folder)]).catch(() => null);
  if (places && !isInFolder(places[0], places[1])) throw outside;
  return thumbnailOf(file);
}
