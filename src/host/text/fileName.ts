import { isDeviceOfWindows } from '../../common/windowsNames';

/** File systems accept 255 bytes; this leaves room for an ending. */
const MAX_BYTES = 200;

/**
 * A title as a valid name of a file or folder in its folder: letters, digits, dot, underscore and
 * hyphen, not hidden and not reserved. `otherwise`: used when nothing is left.
 */
export function fileName(title: string, otherwise = 'lora'): string {
  const valid = title.slice(0, MAX_BYTES).replace(/[^\p{L}\p{N}._-]+/gu, '-');
  const name = withinBytes(valid)
    .replace(/^[.-]+/, '')
    .replace(/[.-]+$/, '');
  if (name === '') return otherwise;
  return isDeviceOfWindows(name) ? `_${name}` : name;
}

/** As many whole characters from the start as fit. */
function withinBytes(text: string): string {
  let [kept, bytes] = ['', 0];
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_BYTES) return kept;
    kept += character;
  }
  return kept;
}
