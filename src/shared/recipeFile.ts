import { isAbsolute, resolve, dirname } from 'node:path';
import { findNodeAtLocation, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser';
import * as v from 'valibot';
import { LoraError, type Place, type Problem } from './errors';
import { mayChange, textOfNode } from './exactJson';
import { nearestName } from './nearest';
import { variablesIn } from './chatVariables';
import { RecipeSchema, type Recipe } from './recipe';
import { repeatedKey } from './repeatedKeys';
import { recipeRoot, recipeTree } from './recipeTree';
import { entriesOf } from './schemaParts';
import { ruleOf } from './schemaRule';
import { countOf, isObject } from './values';

/** A recipe with all defaults filled in and absolute paths, or all problems of its text. */
export type ParsedRecipe =
  | { readonly recipe: Recipe; readonly problems: readonly [] }
  | { readonly recipe: null; readonly problems: readonly Problem[] };

/** Parses a recipe (JSON with comments). @throws LoraError('recipe') with all problems */
export function parseRecipe(text: string, file: string): Recipe {
  const { recipe, problems } = checkRecipe(text, file);
  if (recipe) return recipe;
  const [only] = problems;
  if (problems.length === 1 && only)
    throw new LoraError('recipe', only.message, only.place && { place: only.place });
  throw new LoraError('recipe', `The recipe has ${countOf(problems.length, 'error')}.`, {
    place: { file },
    problems,
  });
}

/** Like `parseRecipe`, but returns the problems instead of throwing. */
export function checkRecipe(text: string, file: string): ParsedRecipe {
  const lines = lineStarts(text);
  const at = (offset: number): Place => placeOf(file, lines, offset);
  const tree = recipeTree(text);
  if (tree.kind === 'too deep')
    return {
      recipe: null,
      problems: [
        { severity: 'error', message: 'The recipe is nested too deeply.', place: at(tree.offset) },
      ],
    };
  const { root, errors } = tree;
  if (errors.length > 0 || !root) {
    return { recipe: null, problems: syntaxProblems(errors, at) };
  }
  const result = v.safeParse(RecipeSchema, valueOf(root, text));
  const problems = [
    ...keyProblems(root, RecipeSchema, at),
    ...repeatedVariables(root, at),
    ...(result.issues ?? [])
      .filter((issue) => !isUnknownKey(issue))
      .map((issue) => valueProblem(issue, root, at)),
  ];
  if (result.success && problems.length === 0)
    return { recipe: withAbsolutePaths(result.output, dirname(file)), problems: [] };
  return { recipe: null, problems };
}

/** The place of a key such as lora.target_modules in a recipe, or of its nearest parent. */
export function placeOfKey(text: string, file: string, key: string): Place {
  const root = recipeRoot(text);
  return root
    ? { ...placeOf(file, lineStarts(text), nearestNode(root, key.split('.')).offset), key }
    : { file, key };
}

function syntaxProblems(errors: readonly ParseError[], at: (offset: number) => Place): Problem[] {
  if (errors.length === 0)
    return [
      {
        severity: 'error',
        message:
          'The recipe is empty: it must be a JSON object with at least "base" and "dataset".',
        place: at(0),
      },
    ];
  return errors.map((e) => ({
    severity: 'error',
    message: `Not valid JSON: ${spaced(printParseErrorCode(e.error))}.`,
    place: at(e.offset),
  }));
}

/** InvalidSymbol -> invalid symbol */
const spaced = (code: string) => code.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();

/** valibot stops at the first unknown key of an object; `keyProblems` finds them all. */
const isUnknownKey = (issue: v.BaseIssue<unknown>) =>
  issue.type === 'strict_object' && issue.expected === 'never';

/**
 * Problems of unknown keys, and of keys that stand twice in an object (JSON would silently keep the
 * last one). Where the schema has no keys, as in rank_pattern, all are known.
 */
function keyProblems(
  node: Node,
  schema: unknown,
  at: (offset: number) => Place,
  path = '',
): Problem[] {
  const inner = (child: Node, own: unknown, name: string) =>
    keyProblems(child, own, at, `${path}${name}.`);
  if (node.type === 'array')
    return (node.children ?? []).flatMap((child, i) => inner(child, undefined, String(i)));
  if (node.type !== 'object') return [];
  const entries = entriesOf(schema);
  const seen = new Set<string>();
  return (node.children ?? []).flatMap(({ children: [key, value] = [] }) => {
    if (!key) return [];
    const name = String(key.value);
    const place = { ...at(key.offset), key: path + name };
    const message = keyMessage(name, entries, seen);
    seen.add(name);
    if (message !== null) return [{ severity: 'error' as const, message, place }];
    return value ? inner(value, entries?.[name], name) : [];
  });
}

/** A key that stands twice in chat_template_kwargs given as text. */
function repeatedVariables(root: Node, at: (offset: number) => Place): Problem[] {
  const key = 'chat_template_kwargs';
  const node = findNodeAtLocation(root, [key]);
  const text: unknown = node?.value;
  if (!node || typeof text !== 'string' || !variablesIn(text)) return [];
  const repeated = repeatedKey(text);
  if (!repeated) return [];
  const message = `The key "${repeated.key}" is duplicated.`;
  return [{ severity: 'error', message, place: { ...at(node.offset), key } }];
}

function keyMessage(
  name: string,
  entries: Record<string, unknown> | undefined,
  seen: ReadonlySet<string>,
): string | null {
  if (entries && !Object.hasOwn(entries, name)) return unknownKeyMessage(name, entries);
  return seen.has(name) ? `The key "${name}" is duplicated.` : null;
}

function unknownKeyMessage(name: string, entries: Record<string, unknown>): string {
  const known = Object.keys(entries).filter((key) => !key.startsWith('$'));
  const nearest = nearestName(name, known);
  const hint = nearest ? `Did you mean "${nearest}"?` : `Known keys: ${known.join(', ')}.`;
  return `Unknown key "${name}". ${hint}`;
}

function valueProblem(
  issue: v.BaseIssue<unknown>,
  root: Node,
  at: (offset: number) => Place,
): Problem {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const key = path.join('.');
  return {
    severity: 'error',
    message: valueMessage(issue, key),
    place: { ...at(nearestNode(root, path).offset), ...(key && { key }) },
  };
}

function valueMessage(issue: v.BaseIssue<unknown>, key: string): string {
  if (!key) return `The recipe must be a JSON object, not ${issue.received}.`;
  if (
    issue.received === 'undefined' ||
    (issue.type === 'strict_object' && issue.input === undefined)
  )
    return `"${key}" is missing.`;
  return `"${key}" ${ruleOf(issue)}, not ${JSON.stringify(issue.input)}.`;
}

/** The node at a path, or at the longest part of it that exists. */
function nearestNode(root: Node, path: readonly (string | number)[]): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (node) return node;
  }
  return root;
}

function toValue(node: Node): unknown {
  if (node.type === 'array') return (node.children ?? []).map(toValue);
  if (node.type !== 'object') return node.value as unknown;
  return Object.fromEntries(
    (node.children ?? []).map((p) => [
      String(p.children?.[0]?.value),
      p.children?.[1] ? toValue(p.children[1]) : undefined,
    ]),
  );
}

/** The value of a recipe. Variables that JSON would change are kept as text. */
function valueOf(root: Node, text: string): unknown {
  const value = toValue(root);
  const node = findNodeAtLocation(root, ['chat_template_kwargs']);
  if (!isObject(value) || node?.type !== 'object') return value;
  const exact = textOfNode(node, text);
  return mayChange(exact) ? { ...value, chat_template_kwargs: exact } : value;
}

function withAbsolutePaths(recipe: Recipe, folder: string): Recipe {
  const absolute = (p: string) => (isAbsolute(p) ? p : resolve(folder, p));
  const orNull = (p: string | null) => (p === null ? null : absolute(p));
  return {
    ...recipe,
    base: absolute(recipe.base),
    dataset: absolute(recipe.dataset),
    validation: orNull(recipe.validation),
    lora: {
      ...recipe.lora,
      frozen_adapters: recipe.lora.frozen_adapters.map(absolute),
      init_adapter: orNull(recipe.lora.init_adapter),
    },
  };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
  return starts;
}

function placeOf(file: string, lines: readonly number[], offset: number): Place {
  let line = lines.length - 1;
  while (lines[line]! > offset) line--;
  return { file, line: line + 1, column: offset - lines[line]! + 1 };
}
