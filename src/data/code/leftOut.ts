import type { LeftOut } from '../../shared/preparedRepository';

/** The most bytes of a file. */
export const MOST_FILE_BYTES = 2 ** 18;
/** A longer line is nothing that people write. */
const MOST_LINE = 1000;
const MOST_MEAN_LINE = 200;

const LOCK =
  /(?:^|\/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|[\w.-]+\.lock|go\.sum|flake\.lock|gradle\.lockfile|packages\.lock\.json)$/i;
const MINIFIED = /[.-]min\.(?:js|mjs|css)$/i;
const GENERATED =
  /(?:^|\/)(?:node_modules|vendor|third_party|dist|__snapshots__|__generated__|generated)\/|(?:_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|cc|h)|\.g\.dart|\.freezed\.dart|\.designer\.cs|\.generated\.\w+|\.snap)$/i;
const SAYS_GENERATED =
  /@generated\b|\bdo not (?:edit|modify)\b|\b(?:auto-?generated|code generated|automatically generated) (?:by|from|file)\b/i;
/** Lines at the beginning of a file in which it says that it was generated. */
const HEAD_LINES = 12;

/** Why a file is left out by its name; null: it is not. */
export function leftOutByName(file: string): LeftOut | null {
  if (LOCK.test(file)) return 'lock';
  if (MINIFIED.test(file)) return 'minified';
  return GENERATED.test(file) ? 'generated' : null;
}

/** The text of a file, or why it is left out. */
export type ReadText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'leftOut'; readonly why: LeftOut };

/** What a file's bytes are. */
export function textOfFile(bytes: Buffer): ReadText {
  if (bytes.length > MOST_FILE_BYTES) return { kind: 'leftOut', why: 'huge' };
  if (bytes.includes(0)) return { kind: 'leftOut', why: 'binary' };
  const text = decoded(bytes);
  if (text === null) return { kind: 'leftOut', why: 'binary' };
  if (text.trim() === '') return { kind: 'leftOut', why: 'empty' };
  const lines = text.split('\n');
  const longest = lines.reduce((most, { length }) => Math.max(most, length), 0);
  if (longest > MOST_LINE || text.length / lines.length > MOST_MEAN_LINE)
    return { kind: 'leftOut', why: 'minified' };
  if (SAYS_GENERATED.test(lines.slice(0, HEAD_LINES).join('\n')))
    return { kind: 'leftOut', why: 'generated' };
  return { kind: 'text', text };
}

/** With the line breaks of Unix; null for what is no UTF-8. */
function decoded(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\r\n', '\n');
  } catch {
    return null;
  }
}
