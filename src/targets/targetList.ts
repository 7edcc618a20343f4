import { homedir } from 'node:os';
import path from 'node:path';
import { findNodeAtLocation, type Node } from 'jsonc-parser';
import * as v from 'valibot';
import { fileErrorReason } from '../common/fileStatus';
import type { Environment } from '../common/programs';
import { MAX_BYTES, readTextFile } from '../common/regularFile';
import { LoraError, type Problem } from '../shared/errors';
import {
  isUnknownKey,
  keyProblems,
  locatorOf,
  syntaxProblems,
  toValue,
  valueProblem,
  type Locate,
} from '../shared/jsonProblems';
import { nearestName } from '../shared/nearest';
import { recipeTree } from '../shared/recipeTree';
import { countOf } from '../shared/values';
import { ENTRY_SCHEMAS, type TargetEntry } from './targetSchema';

/** Environment variable: another file than the user's targets.json. */
export const TARGETS_FILE = 'LORA_TARGETS';

/** Where the user's targets are described. */
export function targetsFile(
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const named = env[TARGETS_FILE];
  if (named !== undefined && named !== '') return path.resolve(named);
  return path.join(configurationFolder(env, platform), 'lora-workbench', 'targets.json');
}

function configurationFolder(env: Environment, platform: NodeJS.Platform): string {
  const home = homedir();
  if (platform === 'win32') return env['APPDATA'] ?? path.join(home, 'AppData', 'Roaming');
  if (platform === 'darwin') return path.join(home, 'Library', 'Application Support');
  const { XDG_CONFIG_HOME: named = '' } = env;
  // the specification ignores a relative one
  return path.isAbsolute(named) ? named : path.join(home, '.config');
}

/** The user's targets; none where there is no file. @throws LoraError('target') */
export async function readTargets(file = targetsFile()): Promise<readonly TargetEntry[]> {
  let text: string;
  try {
    text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new LoraError('target', `The targets cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
  return parseTargets(text, file);
}

/** A target of the user's list. @throws LoraError('target') when there is none of this name */
export async function findTarget(name: string, file = targetsFile()): Promise<TargetEntry> {
  const targets = await readTargets(file);
  const found = targets.find((target) => target.name === name);
  if (found) return found;
  const names = targets.map((target) => target.name);
  const nearest = nearestName(name, names);
  const hint = nearest === undefined ? '' : ` Did you mean ${nearest}?`;
  const known = names.length === 0 ? 'It has none yet.' : `It has ${names.join(', ')}.`;
  throw new LoraError('target', `There is no target "${name}" in the list.${hint}`, {
    place: { file },
    fix: `${known} A target is an entry such as {"name": "gpu-box", "kind": "ssh", "host": "gpu-box"}.`,
  });
}

/** The targets that a text describes. @throws LoraError('target') with all problems */
export function parseTargets(text: string, file: string): readonly TargetEntry[] {
  const { targets, problems } = checkTargets(text, file);
  if (problems.length === 0) return targets;
  const [only] = problems;
  if (problems.length === 1 && only)
    throw new LoraError('target', only.message, only.place && { place: only.place });
  throw new LoraError('target', `The targets have ${countOf(problems.length, 'error')}.`, {
    place: { file },
    problems,
  });
}

interface CheckedTargets {
  readonly targets: readonly TargetEntry[];
  readonly problems: readonly Problem[];
}

/** Like `parseTargets`, but returns the problems instead of throwing. */
export function checkTargets(text: string, file: string): CheckedTargets {
  const at = locatorOf(text, file);
  const tree = recipeTree(text);
  const refused = (message: string, offset = 0): CheckedTargets => ({
    targets: [],
    problems: [{ severity: 'error', message, place: at(offset) }],
  });
  if (tree.kind === 'too deep') return refused('The file is nested too deeply.', tree.offset);
  const { root, errors } = tree;
  if (errors.length > 0) return { targets: [], problems: syntaxProblems(errors, at) };
  if (root?.type !== 'array')
    return refused('The file must be a list of targets: [{"name": …, "kind": "ssh", …}].');
  const entries = (root.children ?? []).map((node, index) => checkEntry(node, index, at));
  const problems = [
    ...entries.flatMap((entry) => entry.problems),
    ...repeatedNames(root.children ?? [], at),
  ];
  return { targets: entries.flatMap((entry) => entry.targets), problems };
}

function checkEntry(node: Node, index: number, at: Locate): CheckedTargets {
  const kind: unknown = findNodeAtLocation(node, ['kind'])?.value;
  const schema =
    typeof kind === 'string' && Object.hasOwn(ENTRY_SCHEMAS, kind)
      ? ENTRY_SCHEMAS[kind as keyof typeof ENTRY_SCHEMAS]
      : null;
  if (schema === null)
    return { targets: [], problems: [unknownKind(findNodeAtLocation(node, ['kind']), node, at)] };
  const result = v.safeParse(schema, toValue(node));
  const problems = [
    ...keyProblems(node, schema, at, `${index}.`),
    ...(result.issues ?? [])
      .filter((issue) => !isUnknownKey(issue))
      .map((issue) => valueProblem(issue, { root: node, at, what: 'A target' })),
  ];
  return result.success && problems.length === 0
    ? { targets: [result.output], problems: [] }
    : { targets: [], problems };
}

function unknownKind(kind: Node | undefined, node: Node, at: Locate): Problem {
  const kinds = Object.keys(ENTRY_SCHEMAS);
  const place = at((kind ?? node).offset);
  if (node.type !== 'object')
    return { severity: 'error', message: 'A target must be a JSON object.', place };
  const value: unknown = kind?.value;
  const message =
    kind === undefined
      ? `"kind" is missing: ${kinds.join(', ')}.`
      : `"kind" must be one of ${kinds.join(', ')}, not ${JSON.stringify(value)}.`;
  return { severity: 'error', message, place: { ...place, key: 'kind' } };
}

function repeatedNames(entries: readonly Node[], at: Locate): Problem[] {
  const seen = new Set<unknown>();
  return entries.flatMap((entry) => {
    const node = findNodeAtLocation(entry, ['name']);
    const name: unknown = node?.value;
    const isRepeated = node !== undefined && seen.has(name);
    seen.add(name);
    if (!isRepeated) return [];
    const message = `Two targets are called ${JSON.stringify(name)}.`;
    return [{ severity: 'error' as const, message, place: { ...at(node.offset), key: 'name' } }];
  });
}
