import { TemplateSyntaxFault } from './faults';
import type { Token } from './lexer';

/** A reader of tokens with one token of look-ahead. */
export class TokenStream {
  private next = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.next]!;
  }

  get following(): Token {
    return this.tokens[this.next + 1] ?? this.tokens.at(-1)!;
  }

  take(): Token {
    const token = this.current;
    if (token.type !== 'eof') this.next++;
    return token;
  }

  is(type: string): boolean {
    return this.current.type === type;
  }

  isName(...names: readonly string[]): boolean {
    return this.current.type === 'name' && names.includes(this.current.value);
  }

  skip(type: string): boolean {
    if (!this.is(type)) return false;
    this.take();
    return true;
  }

  skipName(name: string): boolean {
    if (!this.isName(name)) return false;
    this.take();
    return true;
  }

  expect(type: string): Token {
    if (!this.is(type)) this.failExpected(describeType(type));
    return this.take();
  }

  expectName(name: string): Token {
    if (!this.isName(name)) this.failExpected(name);
    return this.take();
  }

  fail(message: string, line = this.current.line): never {
    throw new TemplateSyntaxFault(message, line);
  }

  private failExpected(expected: string): never {
    if (this.is('eof')) this.fail(`unexpected end of template, expected '${expected}'.`);
    this.fail(`expected token '${expected}', got '${describe(this.current)}'`);
  }
}

/** A token as error messages show it. */
export function describe(token: Token): string {
  return token.type === 'name' ? token.value : describeType(token.type);
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  block_begin: 'begin of statement block',
  block_end: 'end of statement block',
  variable_begin: 'begin of print statement',
  variable_end: 'end of print statement',
  data: 'template data / text',
  eof: 'end of template',
};

function describeType(type: string): string {
  return DESCRIPTIONS[type] ?? type;
}
