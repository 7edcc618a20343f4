/** Texts up to this length, in UTF-16 units, are encoded as a whole. */
export const PIECE_LENGTH = 2 ** 16;

/** Text on either side of a cut with which it is tried out. */
const WINDOW = 64;
const MOST_TRIES = 200;

/** Between a letter and the space before another one, or the punctuation after it. */
const PLACES = /\p{L}(?= \p{L}|[.,;:!?。，、；：！？])/gu;

type Encode = (text: string) => number[];

/**
 * Encodes a long text in pieces, so that the memory for it stays small; the ids are those of the
 * whole text. It is cut only after a word, and only where the text around the cut has the same
 * tokens with and without it. A text without such places is encoded as a whole.
 */
export function encodeInPieces(text: string, encode: Encode, pieceLength = PIECE_LENGTH): number[] {
  if (text.length <= pieceLength) return encode(text);
  const ids: number[] = [];
  let start = 0;
  while (text.length - start > pieceLength) {
    const cut = findCut(text, start + pieceLength, encode);
    if (cut === null) break;
    for (const id of encode(text.slice(start, cut))) ids.push(id);
    start = cut;
  }
  if (start === 0) return encode(text);
  for (const id of encode(text.slice(start))) ids.push(id);
  return ids;
}

/** The first place at or after `from` where the text can be cut; null if there is none. */
function findCut(text: string, from: number, encode: Encode): number | null {
  PLACES.lastIndex = from;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const found = PLACES.exec(text);
    if (!found) return null;
    const cut = found.index + found[0].length;
    if (isCuttable(text, cut, encode)) return cut;
  }
  return null;
}

function isCuttable(text: string, cut: number, encode: Encode): boolean {
  const before = text.slice(Math.max(0, cut - WINDOW), cut);
  const after = text.slice(cut, cut + WINDOW);
  const apart = [...encode(before), ...encode(after)];
  const whole = encode(before + after);
  return whole.length === apart.length && whole.every((id, i) => id === apart[i]);
}
