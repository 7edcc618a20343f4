import { parseTree, type Node } from 'jsonc-parser';
import { Float } from './exactValues';

/**
 * What JSON.parse may change: whole numbers written as floats, integers beyond 2^53, and the order
 * of keys that are indices; it also takes the key __proto__ for one of JavaScript's.
 */
const MAY_CHANGE = /\d\.0|\d[eE]|\d{16}|"(?:\d+|__proto__)"\s*:|\\u00(?:3\d|5[fF])/;

/** As in Python, since long integers take long to read. */
const MAX_DIGITS = 4300;

/** Whether JSON.parse may lose what Python's json.loads keeps. Quick, and true too often. */
export const mayChange = (text: string): boolean => MAY_CHANGE.test(text);

/**
 * The value of a JSON text as Python's json.loads keeps it: whole floats are Float, integers beyond
 * 2^53 bigint, and objects whose keys JavaScript would put into another order a Map.
 *
 * @throws SyntaxError where the text is no JSON, RangeError where it nests too deeply.
 */
export function parseExactly(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  if (!mayChange(text)) return plain;
  const root = parseTree(text);
  return root ? exactValue(root, text) : plain;
}

/** The value of a node of a JSON text, as `parseExactly` gives it. */
function exactValue(node: Node, text: string): unknown {
  const { type, offset, length, children = [] } = node;
  if (type === 'array') return children.map((child) => exactValue(child, text));
  if (type === 'number') return exactNumber(text.slice(offset, offset + length));
  if (type !== 'object') return node.value as unknown;
  const entries = children.map(
    ({ children: pair }) => [String(pair![0]!.value), exactValue(pair![1]!, text)] as const,
  );
  return entries.some(([key]) => isUnstable(key))
    ? new Map<string, unknown>(entries)
    : Object.fromEntries(entries);
}

const isUnstable = (key: string): boolean => /^\d+$/.test(key) || key === '__proto__';

function exactNumber(source: string): unknown {
  const value = Number(source);
  if (/[.eE]/.test(source)) return Number.isSafeInteger(value) ? new Float(value) : value;
  if (Number.isSafeInteger(value)) return value + 0;
  if (source.length > MAX_DIGITS)
    throw new SyntaxError(`an integer has more than ${MAX_DIGITS} digits`);
  return BigInt(source);
}

/** A JSON text, without comments and trailing commas, of a node of a recipe. */
export function textOfNode(node: Node, text: string): string {
  const { type, offset, length, children = [] } = node;
  if (type === 'array') return `[${children.map((child) => textOfNode(child, text)).join(',')}]`;
  if (type === 'object') return `{${children.map((child) => textOfNode(child, text)).join(',')}}`;
  if (type === 'property') return children.map((child) => textOfNode(child, text)).join(':');
  return text.slice(offset, offset + length);
}
