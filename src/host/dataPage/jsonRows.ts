import { isObject } from '../../shared/values';

/** Rows of an answer that are taken. */
const MOST_ROWS = 50;

/** The rows in the answer of a chat model: its lines that are JSON objects. */
export function jsonRowsIn(answer: string): readonly string[] {
  return answer
    .split('\n')
    .map((line) => line.trim().replace(/,$/, ''))
    .filter(isRow)
    .slice(0, MOST_ROWS);
}

function isRow(line: string): boolean {
  if (!line.startsWith('{')) return false;
  try {
    return isObject(JSON.parse(line));
  } catch {
    return false;
  }
}
