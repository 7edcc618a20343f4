import { isAbsolute, resolve, dirname } from 'node:path';
import { findNodeAtLocation, type Node, type ParseError } from 'jsonc-parser';
import * as v from 'valibot';
import { isHubSource, pathsOf, withPaths } from './datasetSources';
import { LoraError, type Place, type Problem } from './errors';
import { mayChange, textOfNode } from './exactJson';
import {
  isUnknownKey,
  keyProblems,
  locatorOf,
  nearestNode,
  syntaxProblems,
  toValue,
  valueProblem,
  type Locate,
} from './jsonProblems';
import { variablesIn } from './chatVariables';
import { toolsIn } from './tools';
import { RecipeSchema, type Recipe } from './recipe';
import { contradictionsOf } from './recipeRules';
import { repeatedKey } from './repeatedKeys';
import { recipeRoot, recipeTree } from './recipeTree';
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
  const at = locatorOf(text, file);
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
    return { recipe: null, problems: unreadable(errors, at) };
  }
  const result = v.safeParse(RecipeSchema, valueOf(root, text));
  const problems = [
    ...keyProblems(root, RecipeSchema, at),
    ...repeatedVariables(root, at),
    ...(result.issues ?? [])
      .filter((issue) => !isUnknownKey(issue))
      .map((issue) => valueProblem(issue, { root, at, what: 'The recipe' })),
  ];
  if (!result.success || problems.length > 0) return { recipe: null, problems };
  const contradictions = contradictionsOf(result.output).map(({ key, message }): Problem => {
    const place = { ...at(nearestNode(root, key.split('.')).offset), key };
    return { severity: 'error', message, place };
  });
  if (contradictions.length > 0) return { recipe: null, problems: contradictions };
  return { recipe: withAbsolutePaths(result.output, dirname(file)), problems: [] };
}

/** The place of a key such as lora.target_modules in a recipe, or of its nearest parent. */
export function placeOfKey(text: string, file: string, key: string): Place {
  const root = recipeRoot(text);
  return root
    ? { ...locatorOf(text, file)(nearestNode(root, key.split('.')).offset), key }
    : { file, key };
}

function unreadable(errors: readonly ParseError[], at: Locate): Problem[] {
  if (errors.length === 0)
    return [
      {
        severity: 'error',
        message:
          'The recipe is empty: it must be a JSON object with at least "base" and "dataset".',
        place: at(0),
      },
    ];
  return syntaxProblems(errors, at);
}

/** What templates print, which a recipe may hold as JSON text, too. */
const PRINTED = [
  { key: 'chat_template_kwargs', type: 'object', read: variablesIn },
  { key: 'tools', type: 'array', read: toolsIn },
] as const;

/** A key that stands twice in what is given as JSON text. */
const repeatedVariables = (root: Node, at: Locate): Problem[] =>
  PRINTED.flatMap(({ key, read }) => {
    const node = findNodeAtLocation(root, [key]);
    const text: unknown = node?.value;
    if (!node || typeof text !== 'string' || !read(text)) return [];
    const repeated = repeatedKey(text);
    if (!repeated) return [];
    const message = `The key "${repeated.key}" is duplicated.`;
    return [{ severity: 'error', message, place: { ...at(node.offset), key } }];
  });

/** The value of a recipe. What templates print and JSON would change is kept as text. */
function valueOf(root: Node, text: string): unknown {
  const value = toValue(root);
  if (!isObject(value)) return value;
  const kept = PRINTED.flatMap(({ key, type }) => {
    const node = findNodeAtLocation(root, [key]);
    const exact = node?.type === type ? textOfNode(node, text) : '';
    return mayChange(exact) ? [[key, exact] as const] : [];
  });
  return { ...value, ...Object.fromEntries(kept) };
}

function withAbsolutePaths(recipe: Recipe, folder: string): Recipe {
  const absolute = (p: string) => (isAbsolute(p) ? p : resolve(folder, p));
  const source = (p: string) => (isHubSource(p) ? p : absolute(p));
  const orNull = (p: string | null) => (p === null ? null : absolute(p));
  return {
    ...recipe,
    base: absolute(recipe.base),
    dataset: withPaths(recipe.dataset, pathsOf(recipe.dataset).map(source)),
    validation: recipe.validation === null ? null : source(recipe.validation),
    objective: { ...recipe.objective, teacher: orNull(recipe.objective.teacher) },
    evaluate: { ...recipe.evaluate, suites: recipe.evaluate.suites.map(absolute) },
    lora: {
      ...recipe.lora,
      frozen_adapters: recipe.lora.frozen_adapters.map(absolute),
      init_adapter: orNull(recipe.lora.init_adapter),
    },
  };
}
