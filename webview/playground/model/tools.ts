import { isObject } from '../../../src/shared/values';

/** The names of the tools in a JSON list. Null: it is not one; empty for an empty text. */
export function toolNames(text: string): readonly string[] | null {
  if (text.trim() === '') return [];
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list)) return null;
    const names = list.map(nameOf);
    return names.every((name) => name !== null) ? names : null;
  } catch {
    return null;
  }
}

function nameOf(tool: unknown): string | null {
  if (!isObject(tool)) return null;
  const inner = isObject(tool['function']) ? tool['function'] : tool;
  return typeof inner['name'] === 'string' && inner['name'] !== '' ? inner['name'] : null;
}
