/** A character of a text, by a test. */
export interface CharClass {
  readonly kind: 'class';
  readonly accepts: (char: string) => boolean;
}

/** Texts by one of several alternatives, which may be filled in later, for what contains itself. */
export interface Rule {
  readonly kind: 'rule';
  alternatives: readonly (readonly GrammarSymbol[])[];
}

export type GrammarSymbol = CharClass | Rule;

/** What is still to come: the next symbol is the first. Null: nothing. */
interface Stack {
  readonly symbol: GrammarSymbol;
  readonly rest: Stack | null;
  /** The same for the same symbols. */
  readonly id: number;
}

export const charClass = (accepts: CharClass['accepts']): CharClass => ({ kind: 'class', accepts });

export const rule = (...alternatives: readonly (readonly GrammarSymbol[])[]): Rule => ({
  kind: 'rule',
  alternatives,
});

/** Characters from here on stand for tokens that are no text. */
const FIRST_MARK = 0x10_0000;
export const markOf = (index: number): string => String.fromCodePoint(FIRST_MARK + index);
export const isMark = (char: string): boolean => char.codePointAt(0)! >= FIRST_MARK;

const classOf = (own: string): CharClass => charClass((char) => char === own);
const ascii = Array.from({ length: 128 }, (_, code) => classOf(String.fromCharCode(code)));

/** The characters of a text, one after the other. */
export const literal = (text: string): readonly CharClass[] =>
  Array.from(text, (own) => ascii[own.codePointAt(0)!] ?? classOf(own));

/** Where a text is in a grammar. */
export class GrammarState {
  /** The same for states with the same continuations. */
  readonly key: string;

  constructor(
    private readonly grammar: Grammar,
    private readonly stacks: readonly (Stack | null)[],
  ) {
    this.key = stacks
      .map((own) => own?.id ?? 0)
      .sort((a, b) => a - b)
      .join();
  }

  /** Whether the text may end here. */
  get canEnd(): boolean {
    return this.stacks.includes(null);
  }

  /** Whether no text continues it. */
  get isDead(): boolean {
    return this.stacks.length === 0;
  }

  /** The state after one more character. */
  after(char: string): GrammarState {
    const next = new Set<Stack | null>();
    for (const stack of this.stacks)
      if (stack?.symbol.kind === 'class' && stack.symbol.accepts(char))
        this.grammar.expand(stack.rest, next);
    return new GrammarState(this.grammar, [...next]);
  }
}

/**
 * Recognizes the texts of a context-free grammar character by character, as a set of stacks of
 * symbols. No rule may begin with itself.
 */
export class Grammar {
  private readonly known = new Map<GrammarSymbol, Map<number, Stack>>();
  private count = 0;
  readonly start: GrammarState;

  constructor(root: Rule) {
    const stacks = new Set<Stack | null>();
    this.expand(this.push(root, null), stacks);
    this.start = new GrammarState(this, [...stacks]);
  }

  /** Adds the stack to the set, or what its first rule stands for. */
  expand(stack: Stack | null, into: Set<Stack | null>): void {
    if (stack === null || stack.symbol.kind === 'class') {
      into.add(stack);
      return;
    }
    for (const symbols of stack.symbol.alternatives)
      this.expand(
        symbols.reduceRight<Stack | null>((rest, own) => this.push(own, rest), stack.rest),
        into,
      );
  }

  private push(symbol: GrammarSymbol, rest: Stack | null): Stack {
    const byRest = this.known.get(symbol) ?? new Map<number, Stack>();
    this.known.set(symbol, byRest);
    const known = byRest.get(rest?.id ?? 0) ?? { symbol, rest, id: ++this.count };
    byRest.set(rest?.id ?? 0, known);
    return known;
  }
}
