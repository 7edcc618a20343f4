const WORD = /^("([^"\\]|\\.)*"|[^\s,}\]]+)/;
const KEY_BEFORE = /("([^"\\]|\\.)*")\s*:\s*$/;

/** What is marked of a line for a value: the value; of an object or a list its key. */
export function markedColumns(line: string, column: number): { from: number; to: number } {
  const key = /^[{[]/.test(line.slice(column)) ? KEY_BEFORE.exec(line.slice(0, column)) : null;
  if (key) return { from: key.index, to: key.index + key[1]!.length };
  return { from: column, to: column + (WORD.exec(line.slice(column))?.[0].length ?? 1) };
}
