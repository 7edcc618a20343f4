import { createScanner, parseTree, type Node, type ParseError } from 'jsonc-parser';

/** Deeper than any recipe, and far from the end of the stack. */
const MAX_DEPTH = 64;

export type RecipeTree =
  /** root: undefined of an empty text. */
  | {
      readonly kind: 'parsed';
      readonly root: Node | undefined;
      readonly errors: readonly ParseError[];
    }
  | { readonly kind: 'too deep'; readonly offset: number };

/** A recipe's text (JSON with comments and trailing commas) as a tree. */
export function recipeTree(text: string): RecipeTree {
  const offset = tooDeepAt(text);
  if (offset !== null) return { kind: 'too deep', offset };
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  return { kind: 'parsed', root, errors };
}

/** The root where the text has one. */
export function recipeRoot(text: string): Node | undefined {
  const tree = recipeTree(text);
  return tree.kind === 'parsed' ? tree.root : undefined;
}

/** jsonc-parser's SyntaxKind, whose names exist for its compiler alone. */
const OPENING: ReadonlySet<number> = new Set([1, 3]);
const CLOSING: ReadonlySet<number> = new Set([2, 4]);
const END = 17;

function tooDeepAt(text: string): number | null {
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== END; token = scanner.scan()) {
    if (OPENING.has(token)) depth++;
    if (CLOSING.has(token)) depth--;
    if (depth > MAX_DEPTH) return scanner.getTokenOffset();
  }
  return null;
}
