import { escapeRegExp } from '../../shared/values';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { fimFormOf, type FimForm } from './fimForms';

/** Where text is to be written: in a file, between two texts. */
export interface CodePlace {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
}

/** The most tokens before and after the place. */
export interface CodeLimits {
  readonly before: number;
  readonly after: number;
}

/** Token ids that ask a base for the text at a place. */
export interface CodePrompt {
  readonly input_ids: readonly number[];
  /** Whether what stands after the place is in it: the vocabulary has tokens for that. */
  readonly fim: boolean;
}

/**
 * The tokens that ask for the text at a place, within limits: what is nearest to it. A text that
 * has special tokens written in it counts up to them.
 */
export function codePrompt(tokenizer: Tokenizer, place: CodePlace, limits: CodeLimits): CodePrompt {
  const form = fimFormOf(tokenizer);
  const separators = separatorsOf(tokenizer);
  const before = lastTokens(tokenizer, place.before.split(separators).at(-1)!, limits.before);
  const after = form ? firstTokens(tokenizer, place.after.split(separators)[0]!, limits.after) : [];
  return {
    input_ids: promptIds(tokenizer, form, { path: place.path, before, after }),
    fim: form !== null,
  };
}

/** The text around a place, as tokens. */
export interface CodePieces {
  readonly path: string;
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Characters at the end of a path that are read. */
const MOST_PATH = 200;

/** The line with a file's path, without special tokens that are written in it. */
export const headerOf = (tokenizer: Tokenizer, path: string): string =>
  `${path.slice(-MOST_PATH).split(separatorsOf(tokenizer)).join('')}\n`;

/** The tokens of a prompt: the file's path, then the texts in the order of the form. */
export function promptIds(
  tokenizer: Tokenizer,
  form: FimForm | null,
  { path, before, after }: CodePieces,
): number[] {
  const header = tokenizer.encode(headerOf(tokenizer, path), false);
  const start = [...tokenizer.frame.before];
  if (!form) return [...start, ...header, ...before];
  const id = (token: string | null) =>
    token === null || token === '' ? [] : [tokenizer.added_tokens.get(token)!];
  const prefix = [...id(form.prefix), ...(form.file === null ? header : []), ...before];
  const suffix = [...id(form.suffix), ...after];
  const texts = form.first === 'prefix' ? [...prefix, ...suffix] : [...suffix, ...prefix];
  const file = form.file === null ? [] : [...id(form.file), ...header];
  return [...start, ...file, ...texts, ...id(form.middle)];
}

/** Matches the special tokens of a vocabulary and those for filling in. */
export function separatorsOf(
  tokenizer: Pick<Tokenizer, 'special_tokens' | 'added_tokens'>,
): RegExp {
  const form = fimFormOf(tokenizer);
  const own = form ? [form.prefix, form.suffix, form.middle, form.file, ...form.ends] : [];
  const tokens = [...tokenizer.special_tokens.keys(), ...own].filter(Boolean).map(String);
  return tokens.length === 0 ? /(?!)/ : new RegExp(tokens.map(escapeRegExp).join('|'));
}

/** More characters than a token has by far: no text is encoded that cannot count. */
const MOST_CHARACTERS = 16;

function lastTokens(tokenizer: Tokenizer, text: string, most: number): readonly number[] {
  const ids = tokenizer.encode(wellFormed(text.slice(-most * MOST_CHARACTERS)), false);
  return most === 0 ? [] : ids.slice(-most);
}

const firstTokens = (tokenizer: Tokenizer, text: string, most: number): readonly number[] =>
  tokenizer.encode(wellFormed(text.slice(0, most * MOST_CHARACTERS)), false).slice(0, most);

/** Without half of a surrogate pair, which a cut leaves. */
const wellFormed = (text: string): string =>
  text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '');
