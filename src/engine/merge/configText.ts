import { findNodeAtLocation, parseTree, type JSONPath, type Node } from 'jsonc-parser';
import { isObject } from '../../shared/values';

/** Settings that transformers takes as floats only: 30.0, not 30. */
const FLOATS: ReadonlySet<string> = new Set([
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'initializer_factor',
  'initializer_range',
  'layer_norm_eps',
  'partial_rotary_factor',
  'rms_norm_eps',
  'rope_theta',
]);

interface Base {
  readonly text: string;
  readonly tree: Node | undefined;
}

/**
 * The text of a config.json. Numbers that are the same in the base's are spelled as there, since
 * transformers tells 1.0 from 1.
 *
 * @param given Text of the base's config.json; null: it has none.
 */
export function configText(
  config: Readonly<Record<string, unknown>>,
  given: string | null,
): string {
  const base = given === null ? null : { text: given, tree: parseTree(given) };
  return `${textOf(config, [], base)}\n`;
}

function textOf(value: unknown, path: JSONPath, base: Base | null): string {
  if (typeof value === 'number') return spelled(path, value, base);
  if (!isObject(value) && !Array.isArray(value)) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const parts = Array.isArray(value)
    ? value.map((own, i) => textOf(own, [...path, i], base))
    : Object.entries(value)
        .filter(([, own]) => own !== undefined)
        .map(([key, own]) => `${JSON.stringify(key)}: ${textOf(own, [...path, key], base)}`);
  const indent = '  '.repeat(path.length);
  const lines = parts.map((part) => `\n${indent}  ${part}`).join(',');
  return parts.length === 0 ? `${open}${close}` : `${open}${lines}\n${indent}${close}`;
}

function spelled(path: JSONPath, value: number, base: Base | null): string {
  const node = base?.tree && findNodeAtLocation(base.tree, path);
  if (base && node?.type === 'number' && node.value === value)
    return base.text.slice(node.offset, node.offset + node.length);
  const isFloat = Number.isInteger(value) && FLOATS.has(String(path.at(-1)));
  return isFloat ? `${value}.0` : JSON.stringify(value);
}
