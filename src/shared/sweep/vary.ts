import { LoraError } from '../errors';
import { pathOfKey } from './recipeKeys';

/** A key of the recipe and the values that the runs of a sweep give it, at least one. */
export interface VariedKey {
  readonly key: string;
  readonly values: readonly unknown[];
}

/**
 * Parses "lora.r=1,2,4": values are JSON, or words as they are.
 *
 * @throws LoraError('usage')
 */
export function parseVary(text: string): VariedKey {
  const [, key, values] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || values === undefined)
    throw new LoraError('usage', `"${text}" is not of the form KEY=VALUE,VALUE.`, {
      fix: 'Write it as in lora.r=1,2,4.',
    });
  pathOfKey(key.trim());
  return { key: key.trim(), values: parseValues(values) };
}

/**
 * Parses the values of a key, separated by commas; commas in brackets and quotes separate nothing.
 * Each value counts once, and numbers are sorted.
 *
 * @throws LoraError('usage')
 */
export function parseValues(text: string): readonly unknown[] {
  const values = splitAtCommas(text).map(parseValue);
  const distinct = [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
  return distinct.every((value) => typeof value === 'number')
    ? distinct.sort((a, b) => a - b)
    : distinct;
}

function splitAtCommas(text: string): readonly string[] {
  const parts = [''];
  let depth = 0;
  // a string with its escapes, or one character
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|./gs)) {
    if (token === '[' || token === '{') depth++;
    if (token === ']' || token === '}') depth--;
    if (token === ',' && depth <= 0) parts.push('');
    else parts.push(parts.pop()! + token);
  }
  return parts.map((part) => part.trim());
}

function parseValue(text: string): unknown {
  if (text === '') throw new LoraError('usage', 'A value is empty: write "" for an empty text.');
  try {
    return finite(JSON.parse(text), text);
  } catch (error) {
    if (error instanceof LoraError) throw error;
    if (/^["[{]/.test(text))
      throw new LoraError('usage', `The value ${text} is not valid JSON.`, { cause: error });
    return text;
  }
}

/** JSON reads 1e999 as infinity, and writes that as null. */
function finite(value: unknown, text: string): unknown {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new LoraError('usage', `The number ${text} is too large.`);
  return value;
}
