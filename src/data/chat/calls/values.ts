import { parseExactly } from '../../../shared/exactJson';
import { isObject } from '../../../shared/values';
import { entryOf, nameOf } from '../../rows/toolCalls';

/** The parameter that a text is the value of. */
interface Parameter {
  readonly tools: unknown;
  /** The tool. */
  readonly name: string;
  readonly key: string;
}

/** How Python writes what JSON writes otherwise. */
const PYTHON: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['True', true],
  ['False', false],
  ['None', null],
]);

/** The value of a parameter that a template writes as a text, by the type of the parameter. */
export function valueOf(text: string, parameter: Parameter): unknown {
  const type = typeOf(parameter);
  if (type === 'string') return text;
  const trimmed = text.trim();
  if (PYTHON.has(trimmed)) return PYTHON.get(trimmed);
  try {
    return parseExactly(trimmed);
  } catch {
    return text;
  }
}

/** The type of a parameter in the schema of its tool. */
function typeOf({ tools, name, key }: Parameter): unknown {
  if (!Array.isArray(tools)) return undefined;
  const tool: unknown = tools.find((own) => nameOf(own) === name);
  return ['parameters', 'properties', key, 'type'].reduce<unknown>(
    (value, part) => (isObject(value) ? entryOf(value, part) : undefined),
    functionOf(tool),
  );
}

/** A tool's own description, which may stand in "function". */
export function functionOf(tool: unknown): unknown {
  if (!isObject(tool)) return undefined;
  const inner = entryOf(tool, 'function');
  return isObject(inner) ? inner : tool;
}
