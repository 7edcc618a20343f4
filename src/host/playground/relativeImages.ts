import path from 'node:path';
import { parseExactly } from '../../shared/exactJson';
import { exactText } from '../../shared/exactText';
import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';

/**
 * A row whose images are named relative to the folder of its dataset, as far as that can be said:
 * the dataset can then be moved together with them. Other rows stay as they are.
 */
export function withRelativeImages(row: string, folder: string): string {
  const columns = asPlainObject(parseExactly(row));
  if (!isObject(columns)) return row;
  let changes = 0;
  const partOf = (part: unknown): unknown => {
    const own = asPlainObject(part);
    if (!isObject(own) || own['type'] !== 'image' || typeof own['image'] !== 'string') return part;
    if (!path.isAbsolute(own['image'])) return part;
    changes++;
    return { ...own, image: path.relative(folder, own['image']).split(path.sep).join('/') };
  };
  const messageOf = (message: unknown): unknown => {
    const own = asPlainObject(message);
    if (!isObject(own) || !Array.isArray(own['content'])) return message;
    return { ...own, content: own['content'].map(partOf) };
  };
  const changed = Object.fromEntries(
    Object.entries(columns).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.map(messageOf) : value,
    ]),
  );
  return changes > 0 ? exactText(changed) : row;
}
