import { parseExactly } from '../../../shared/exactJson';
import { MOST_DEPTH } from '../../../shared/depth';
import { isObject } from '../../../shared/values';
import type { ToolCall } from './form';

/** Calls in a text, and where they end. */
export interface FoundCalls {
  readonly calls: readonly ToolCall[];
  /** The offset after them. */
  readonly end: number;
}

/**
 * The call in Python's syntax, name(key=value, …), or the list of calls, that begins at an offset,
 * after white space. Null: none does.
 */
export function pythonAt(text: string, offset: number): FoundCalls | null {
  const reader = new PythonReader(text, offset);
  const isList = reader.takes('[');
  const calls: ToolCall[] = [];
  do {
    const call = reader.call();
    if (!call) return null;
    calls.push(call);
  } while (isList && reader.takes(','));
  return !isList || reader.takes(']') ? { calls, end: reader.at } : null;
}

const NAME = /[A-Za-z_][\w.-]{0,199}/y;
const KEY = /[A-Za-z_]\w{0,199}/y;
const SPACE = /\s*/y;
const NUMBER = /[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][-+]?\d+)?/y;
/** Models write JSON's words, too. */
const WORDS: Readonly<Record<string, string>> = {
  True: 'true',
  False: 'false',
  None: 'null',
  true: 'true',
  false: 'false',
  null: 'null',
};
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  v: '\v',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
};
const CODE = /x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})/y;

/** Reads values of Python as JSON; what JSON lacks (sets, expressions) is not read. */
class PythonReader {
  constructor(
    private readonly text: string,
    public at: number,
  ) {}

  /** Whether a character follows, after white space; it is passed then. */
  takes(character: string): boolean {
    this.match(SPACE);
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  /** Null: no call follows. */
  call(): ToolCall | null {
    this.match(SPACE);
    const name = this.match(NAME);
    if (name === null || !this.takes('(')) return null;
    const entries = this.entries(')', '=', 1, () => {
      const key = this.match(KEY);
      return key === null ? null : JSON.stringify(key);
    });
    const values = entries === null ? null : parsed(entries);
    return isObject(values) ? { name, arguments: values } : null;
  }

  /** The entries up to a bracket as the JSON of an object. Null: they are not read. */
  private entries(
    close: string,
    between: string,
    depth: number,
    readKey: () => string | null,
  ): string | null {
    const found = new Map<string, string>();
    while (!this.takes(close)) {
      if (found.size > 0 && !this.takes(',')) return null;
      if (found.size > 0 && this.takes(close)) break;
      this.match(SPACE);
      const key = readKey();
      const value = key !== null && this.takes(between) ? this.value(depth) : null;
      if (key === null || value === null || found.has(key)) return null;
      found.set(key, value);
    }
    return `{${[...found].map(([key, value]) => `${key}:${value}`).join(',')}}`;
  }

  /** A value as JSON. Null: none follows. */
  private value(depth: number): string | null {
    if (depth > MOST_DEPTH) return null;
    if (this.takes('[')) return this.items(']', depth + 1);
    if (this.takes('(')) return this.items(')', depth + 1);
    if (this.takes('{')) return this.entries('}', ':', depth + 1, () => this.string());
    const string = this.string();
    if (string !== null) return string;
    const word = this.match(KEY);
    if (word !== null) return Object.hasOwn(WORDS, word) ? WORDS[word]! : null;
    const number = this.match(NUMBER);
    return number === null ? null : jsonNumber(number);
  }

  /** The items of a list or tuple up to its bracket. */
  private items(close: string, depth: number): string | null {
    const found: string[] = [];
    while (!this.takes(close)) {
      if (found.length > 0 && !this.takes(',')) return null;
      if (found.length > 0 && this.takes(close)) break;
      const value = this.value(depth);
      if (value === null) return null;
      found.push(value);
    }
    return `[${found.join(',')}]`;
  }

  /** A text in quotes. */
  private string(): string | null {
    this.match(SPACE);
    const quote = this.text[this.at];
    if (quote !== '"' && quote !== "'") return null;
    const parts: string[] = [];
    let from = this.at + 1;
    for (let i = from; i < this.text.length; i++) {
      const character = this.text[i]!;
      if (character === quote) {
        parts.push(this.text.slice(from, i));
        this.at = i + 1;
        return JSON.stringify(parts.join(''));
      }
      if (character !== '\\') continue;
      const { written, length } = escapeAt(this.text, i + 1);
      parts.push(this.text.slice(from, i), written);
      i += length;
      from = i + 1;
    }
    return null;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? null;
    if (found !== null) this.at += found.length;
    return found;
  }
}

/** What an escape stands for; unknown ones for themselves, as in Python. */
function escapeAt(text: string, at: number): { readonly written: string; readonly length: number } {
  CODE.lastIndex = at;
  const code = CODE.exec(text);
  if (code) {
    const digits = code.slice(1).find(Boolean)!;
    return { written: String.fromCodePoint(parseInt(digits, 16)), length: code[0].length };
  }
  const character = text.charAt(at);
  return { written: ESCAPES[character] ?? `\\${character}`, length: character.length };
}

/** JSON has no +1, 1_000, .5 and 5. */
function jsonNumber(text: string): string {
  const plain = text.replaceAll('_', '').replace(/^\+/, '');
  return plain.replace(/^(-?)\./, '$10.').replace(/\.(?!\d)/, '.0');
}

function parsed(json: string): unknown {
  try {
    return parseExactly(json);
  } catch {
    return null;
  }
}
