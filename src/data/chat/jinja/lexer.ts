import { TemplateSyntaxFault } from './faults';
import { SPACE, rstripSpace } from './space';
import { unescapeString } from './unescape';

/** `type` is `data`, a delimiter, `name`, `string`, `integer`, `float`, `eof` or an operator. */
export interface Token {
  readonly type: string;
  readonly value: string;
  readonly line: number;
}

const OPERATORS = new Set(
  ['+', '-', '/', '//', '*', '%', '**', '~', '[', ']', '(', ')', '{', '}'].concat([
    '==',
    '!=',
    '>',
    '>=',
    '<',
    '<=',
    '=',
    '.',
    ':',
    '|',
    ',',
    ';',
  ]),
);
const CLOSING: Readonly<Record<string, string>> = { '{': '}', '(': ')', '[': ']' };

const sticky = (source: string) => new RegExp(source, 'uy');
const WHITE = sticky(`[${SPACE}]+`);
const FLOAT = sticky(
  '(?<!\\.)(?:\\d+_)*\\d+(?:(?:\\.(?:\\d+_)*\\d+)?[eE][+-]?(?:\\d+_)*\\d+|\\.(?:\\d+_)*\\d+)',
);
const INTEGER = sticky(
  '0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*',
);
const NAME = sticky('[\\p{L}\\p{N}\\p{Mn}\\p{Mc}\\p{Pc}]+');
const STRING = sticky(
  `'[^'\\\\]*(?:\\\\[\\s\\S][^'\\\\]*)*'|"[^"\\\\]*(?:\\\\[\\s\\S][^"\\\\]*)*"`,
);
const OPERATOR = sticky('//|\\*\\*|==|!=|>=|<=|[-+/*%~\\[\\](){}<>=.:|,;]');
const RAW_BEGIN = sticky(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`);
const RAW_END = new RegExp(
  `\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`,
  'gu',
);
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, 'gu');
const BLOCK_END = sticky(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`);
const VARIABLE_END = sticky(`-\\}\\}[${SPACE}]*|\\}\\}`);
const TAG_BEGIN = /\{[%{#]/g;
const BLANK = new RegExp(`^[${SPACE}]+$`, 'u');

/**
 * The tokens of a template, with trim_blocks and lstrip_blocks: the line break after a block is
 * removed, and so is the white space before a block on its own line. All line breaks become \n,
 * and one at the end of the template is dropped.
 *
 * @throws TemplateSyntaxFault
 */
export function tokenize(source: string): Token[] {
  return new Lexer(source.replace(/\r\n|\r/g, '\n').replace(/\n$/, '')).run();
}

class Lexer {
  private readonly tokens: Token[] = [];
  private position = 0;
  private line = 1;
  private lineStarting = true;

  constructor(private readonly source: string) {}

  run(): Token[] {
    while (this.position < this.source.length) this.text();
    this.tokens.push({ type: 'eof', value: '', line: this.line });
    return this.tokens;
  }

  /** Text up to the next tag, and the tag. */
  private text(): void {
    const { source } = this;
    const start = search(TAG_BEGIN, source, this.position)?.index;
    if (start === undefined) {
      this.data(source.slice(this.position));
      this.advance(source.length);
      return;
    }
    const opening = source.slice(start, start + 2);
    const raw = opening === '{%' ? match(RAW_BEGIN, source, start) : null;
    const sign = /[-+]/.exec(source[start + 2] ?? '')?.[0] ?? '';
    this.data(this.stripped(source.slice(this.position, start), sign, opening !== '{{'));
    this.line += count(source.slice(this.position, start));
    this.position = start;
    if (raw !== null) this.raw(start + raw.length);
    else if (opening === '{#') this.comment(start + 2 + sign.length);
    else this.tag(opening === '{%' ? 'block' : 'variable', start + 2 + sign.length);
  }

  /** The text before a tag without the white space that the tag removes. */
  private stripped(text: string, sign: string, isBlock: boolean): string {
    if (sign === '-') return rstripSpace(text);
    if (sign === '+' || !isBlock) return text;
    const lineStart = text.lastIndexOf('\n') + 1;
    const startsLine = lineStart > 0 || this.lineStarting;
    return startsLine && BLANK.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  private data(text: string): void {
    if (text !== '') this.tokens.push({ type: 'data', value: text, line: this.line });
  }

  private advance(end: number): void {
    const passed = this.source.slice(this.position, end);
    this.line += count(passed);
    this.lineStarting = passed.endsWith('\n');
    this.position = end;
  }

  private comment(start: number): void {
    const end = search(COMMENT_END, this.source, start);
    if (!end && start === this.source.length) {
      this.advance(start);
      return;
    }
    if (!end) throw new TemplateSyntaxFault('Missing end of comment tag', this.line);
    this.advance(end.index + end[0].length);
  }

  private raw(start: number): void {
    this.advance(start);
    if (start === this.source.length) return;
    const end = search(RAW_END, this.source, start);
    if (!end) throw new TemplateSyntaxFault('Missing end of raw directive', this.line);
    this.data(this.stripped(this.source.slice(start, end.index), end[1]!, true));
    this.advance(end.index + end[0].length);
  }

  private tag(kind: 'block' | 'variable', start: number): void {
    this.tokens.push({ type: `${kind}_begin`, value: '', line: this.line });
    this.advance(start);
    const closing = kind === 'block' ? BLOCK_END : VARIABLE_END;
    const open: string[] = [];
    while (this.position < this.source.length) {
      const end = open.length === 0 ? match(closing, this.source, this.position) : null;
      if (end !== null) {
        this.tokens.push({ type: `${kind}_end`, value: '', line: this.line });
        this.advance(this.position + end.length);
        return;
      }
      this.expressionToken(open);
    }
  }

  private expressionToken(open: string[]): void {
    const at = (pattern: RegExp) => match(pattern, this.source, this.position);
    const text =
      at(WHITE) ??
      this.number() ??
      this.name() ??
      this.string() ??
      this.operator(at(OPERATOR), open);
    if (text === null) {
      const char = String.fromCodePoint(this.source.codePointAt(this.position)!);
      throw new TemplateSyntaxFault(`unexpected char '${char}' at ${this.position}`, this.line);
    }
    this.advance(this.position + text.length);
  }

  private push(type: string, value: string): void {
    this.tokens.push({ type, value, line: this.line });
  }

  private number(): string | null {
    const float = match(FLOAT, this.source, this.position);
    const text = float ?? match(INTEGER, this.source, this.position);
    if (text !== null) this.push(float === null ? 'integer' : 'float', text.replaceAll('_', ''));
    return text;
  }

  private name(): string | null {
    const text = match(NAME, this.source, this.position);
    if (text === null) return null;
    if (!/^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text))
      throw new TemplateSyntaxFault('Invalid character in identifier', this.line);
    this.push('name', text);
    return text;
  }

  private string(): string | null {
    const text = match(STRING, this.source, this.position);
    if (text !== null) this.push('string', unescapeString(text.slice(1, -1), this.line));
    return text;
  }

  private operator(text: string | null, open: string[]): string | null {
    if (text === null || !OPERATORS.has(text)) return null;
    if (CLOSING[text] !== undefined) open.push(CLOSING[text]);
    else if (['}', ')', ']'].includes(text)) {
      const expected = open.pop();
      if (expected !== text)
        throw new TemplateSyntaxFault(
          `unexpected '${text}'${expected === undefined ? '' : `, expected '${expected}'`}`,
          this.line,
        );
    }
    this.push(text, text);
    return text;
  }
}

function match(pattern: RegExp, source: string, position: number): string | null {
  return search(pattern, source, position)?.[0] ?? null;
}

function search(pattern: RegExp, source: string, position: number): RegExpExecArray | null {
  pattern.lastIndex = position;
  return pattern.exec(source);
}

function count(text: string): number {
  return text.split('\n').length - 1;
}
