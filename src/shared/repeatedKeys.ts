/** A key that stands twice in one object of a JSON text. */
export interface RepeatedKey {
  readonly key: string;
  /** The key with those around it, such as `messages[1].role`. */
  readonly path: string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
const [COMMA, COLON] = [0x2c, 0x3a];

/** An object, with its keys so far, or a list. */
interface Level {
  readonly keys: Set<string> | null;
  key: string;
  index: number;
}

/**
 * The first key that stands twice in an object of a valid JSON text; null if there is none.
 * JSON.parse keeps the last of the values and does not tell.
 */
export function repeatedKey(text: string): RepeatedKey | null {
  const levels: Level[] = [];
  let string = '';
  for (let i = 0; i < text.length; i++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const end = endOfString(text, i);
        if (level?.keys) string = text.slice(i, end + 1);
        i = end;
        break;
      }
      case COLON: {
        const key = JSON.parse(string) as string;
        if (level!.keys!.has(key)) return { key, path: pathOf(levels, key) };
        level!.keys!.add(key);
        level!.key = key;
        break;
      }
      case OPEN_OBJECT:
        levels.push({ keys: new Set(), key: '', index: 0 });
        break;
      case OPEN_LIST:
        levels.push({ keys: null, key: '', index: 0 });
        break;
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        levels.pop();
        break;
      case COMMA:
        level!.index++;
    }
  }
  return null;
}

/** The index of the quote that ends a string. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

function pathOf(levels: readonly Level[], key: string): string {
  const above = levels
    .slice(0, -1)
    .map(({ keys, key: own, index }) => (keys ? `.${own}` : `[${index}]`));
  return `${above.join('')}.${key}`.replace(/^\./, '');
}
