import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import type { GrammarState } from './grammar';

/** Tokens that begin with the same characters. */
interface Node {
  readonly next: Map<string, Node>;
  /** Tokens that end here. */
  readonly ids: number[];
}

const createNode = (): Node => ({ next: new Map(), ids: [] });

/** The tokens of a vocabulary as texts. */
interface TokenTexts {
  /** All that may be written, by their characters. */
  readonly root: Node;
  readonly textOf: (id: number) => string;
}

/** Tokens that are no text, such as special ones, each by a character that stands for it. */
export type MarkTokens = ReadonlyMap<string, number>;

const known = new WeakMap<Tokenizer, TokenTexts>();
/** Masks that are kept for states that come again, such as within a string. */
const MOST_MASKS = 8;

/** Which tokens continue a text by a grammar. */
export class TokenMask {
  private readonly masks = new Map<string, Int32Array>();
  private readonly tokens: TokenTexts;
  private readonly marks: readonly (readonly [string, number])[];

  /** @param marks Further tokens that the grammar has. */
  constructor(
    tokenizer: Tokenizer,
    private state: GrammarState,
    marks: MarkTokens = new Map(),
  ) {
    this.marks = [...marks];
    this.tokens = known.get(tokenizer) ?? tokenTexts(tokenizer);
    known.set(tokenizer, this.tokens);
  }

  /** Whether the text may end here. */
  get canEnd(): boolean {
    return this.state.canEnd;
  }

  /** The ids of the tokens that may come next. */
  allowed(): Int32Array {
    const { key } = this.state;
    const mask = this.masks.get(key) ?? this.idsFrom(this.state);
    if (this.masks.size >= MOST_MASKS) this.masks.clear();
    this.masks.set(key, mask);
    return mask;
  }

  /** Continues by one of them. */
  push(id: number): void {
    const text = this.marks.find(([, own]) => own === id)?.[0] ?? this.tokens.textOf(id);
    for (const char of text) this.state = this.state.after(char);
  }

  private idsFrom(state: GrammarState): Int32Array {
    const marked = this.marks.filter(([char]) => !state.after(char).isDead);
    return Int32Array.from([...idsFrom(this.tokens.root, state), ...marked.map(([, id]) => id)]);
  }
}

function idsFrom(root: Node, start: GrammarState): readonly number[] {
  const ids: number[] = [];
  const visit = (node: Node, state: GrammarState) => {
    ids.push(...node.ids);
    const states = new Map<string, GrammarState>();
    for (const [char, next] of node.next) {
      const after = state.after(char);
      if (after.isDead) continue;
      const same = states.get(after.key) ?? after;
      states.set(after.key, same);
      visit(next, same);
    }
  };
  visit(root, start);
  return ids;
}

/** Without special tokens, and those that are a part of a character. */
function tokenTexts(tokenizer: Tokenizer): TokenTexts {
  const root = createNode();
  const added = new Set(tokenizer.added_tokens.values());
  const textOf = textsOf(tokenizer);
  for (let id = 0; id < tokenizer.vocab_size; id++) {
    const text = added.has(id) ? '' : textOf(id);
    if (text === '' || text.includes('\ufffd')) continue;
    let node = root;
    for (const char of text) {
      const next = node.next.get(char) ?? createNode();
      node.next.set(char, next);
      node = next;
    }
    node.ids.push(id);
  }
  return { root, textOf };
}

/** What a token adds to a text: alone it may lose its space. */
function textsOf(tokenizer: Tokenizer): (id: number) => string {
  const anchor = tokenizer.encode('a', false).slice(-1);
  const { length } = tokenizer.decode(anchor, true);
  return (id) => tokenizer.decode([...anchor, id], true).slice(length);
}
