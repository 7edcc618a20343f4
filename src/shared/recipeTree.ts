import { createScanner, parseTree, type Node, type ParseError } from 'jsonc-parser';

/** More levels than any recipe has, and few enough for a recursive parser. */
const MAX_DEPTH = 64;

/** A parsed recipe. `root` is undefined for an empty text. */
export type RecipeTree =
  | {
      readonly kind: 'parsed';
      readonly root: Node | undefined;
      readonly errors: readonly ParseError[];
    }
  | { readonly kind: 'too deep'; readonly offset: number };

/** Parses a recipe: JSON with comments and trailing commas. */
export function recipeTree(text: string): RecipeTree {
  const offset = tooDeepAt(text);
  if (offset !== null) return { kind: 'too deep', offset };
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  return { kind: 'parsed', root, errors };
}

/** The root node of a recipe; undefined if the text is empty or nested too deeply. */
export function recipeRoot(text: string): Node | undefined {
  const tree = recipeTree(text);
  return tree.kind === 'parsed' ? tree.root : undefined;
}

/** jsonc-parser's SyntaxKind: a const enum, so the names do not exist at run time. */
const OPENING: ReadonlySet<number> = new Set([1, 3]);
const CLOSING: ReadonlySet<number> = new Set([2, 4]);
const END = 17;

/** Offset of the first bracket beyond MAX_DEPTH; null if there is none. */
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
