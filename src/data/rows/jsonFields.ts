import { createScanner, getNodePath, modify, applyEdits, parseTree, type Node } from 'jsonc-parser';

/** A text in a row of JSON, and where it is. */
export interface JsonField {
  readonly path: readonly (string | number)[];
  readonly value: string;
}

/** jsonc-parser's SyntaxKind: a const enum, so the names do not exist at run time. */
const LINE_BREAK = 14;
const SPACE = 15;
const END = 17;

/** Rows with more texts are edited as JSON. */
const MOST_FIELDS = 200;

/** The texts of a row in the order of its JSON; none where there are too many, or it is no JSON. */
export function jsonFields(row: string): readonly JsonField[] {
  const root = isJson(row) ? parseTree(row) : undefined;
  const fields: JsonField[] = [];
  const visit = (node: Node): void => {
    if (fields.length > MOST_FIELDS) return;
    if (node.type === 'string') fields.push({ path: getNodePath(node), value: String(node.value) });
    const children = node.children ?? [];
    for (const child of children) {
      const inner = child.type === 'property' ? child.children?.[1] : child;
      if (inner) visit(inner);
    }
  };
  if (root?.type === 'object') visit(root);
  return fields.length > MOST_FIELDS ? [] : fields;
}

/** A row of JSON with some of its texts replaced; all else stays as it is written. */
export const withFields = (row: string, fields: readonly JsonField[]): string =>
  fields.reduce(
    (text, { path, value }) => applyEdits(text, modify(text, [...path], value, {})),
    row,
  );

/** A JSON document without the white space between its tokens that would end the row. */
export function onOneLine(text: string): string {
  if (!/[\r\n]/.test(text)) return text.trim();
  const scanner = createScanner(text, false);
  let line = '';
  let isBroken = false;
  for (let kind: number = scanner.scan(); kind !== END; kind = scanner.scan()) {
    if (kind === LINE_BREAK) isBroken = true;
    else if (kind !== SPACE || !isBroken) {
      line += tokenText(text, scanner);
      isBroken = false;
    }
  }
  return line.trim();
}

const tokenText = (text: string, scanner: ReturnType<typeof createScanner>): string =>
  text.slice(scanner.getTokenOffset(), scanner.getTokenOffset() + scanner.getTokenLength());

/** Whether a text is JSON. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
