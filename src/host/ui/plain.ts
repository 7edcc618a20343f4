import { oneLine } from '../../shared/plainText';

/** More would fill the window. */
const MAX_CHARACTERS = 4_000;

/**
 * Plain text for everything that VS Code shows. It renders [text](address) in notifications and
 * input boxes as a link, even to a command, and $(name) in lists and the status bar as an icon:
 * a space breaks both.
 */
export function plain(text: string): string {
  const line = oneLine(text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text);
  return line.replace(/\](?=\()/g, '] ').replace(/\$(?=\()/g, '$ ');
}

/** The same for a text of several lines. */
export const plainLines = (text: string): string => text.split('\n').map(plain).join('\n');

/** A label with an icon of ours before it. */
export const withIcon = (icon: string | undefined, text: string): string =>
  icon === undefined ? plain(text) : `$(${icon}) ${plain(text)}`;
