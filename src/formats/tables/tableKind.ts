import path from 'node:path';
import { otherKindOf } from './fileKind';
import { tableFault } from './faults';
import type { Packing, TableFormat, TableKind } from './table';

/** The endings of files with rows, with what they hold. */
const ENDINGS: Readonly<Record<string, TableFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'json',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.tab': 'csv',
  '.parquet': 'parquet',
  '.arrow': 'arrow',
  '.feather': 'arrow',
};
const PACKINGS: Readonly<Record<string, Packing>> = {
  '.gz': 'gzip',
  '.zst': 'zstd',
  '.zstd': 'zstd',
};

/** The endings of names that are searched for. */
export const TABLE_ENDINGS: readonly string[] = Object.keys(ENDINGS);

/** The format and packing that a file's name says; null: its name is not one of a dataset. */
export function kindByName(
  file: string,
): { readonly format: TableFormat; readonly packing: Packing | null } | null {
  const name = path.basename(file).toLowerCase();
  const packing = PACKINGS[path.extname(name)] ?? null;
  const inner = packing ? name.slice(0, name.lastIndexOf('.')) : name;
  const format = ENDINGS[path.extname(inner)];
  return format === undefined ? null : { format, packing };
}

const startsWith = (head: Buffer, hex: string) => head.toString('hex', 0, hex.length / 2) === hex;
const GZIP = '1f8b';
const ZSTD = '28b52ffd';
const PARQUET = Buffer.from('PAR1').toString('hex');
const ARROW_FILE = Buffer.from('ARROW1').toString('hex');
const ARROW_STREAM = 'ffffffff';

/** How a file is packed, by its first bytes. */
export function packingOf(head: Buffer): Packing | null {
  if (startsWith(head, GZIP)) return 'gzip';
  return startsWith(head, ZSTD) ? 'zstd' : null;
}

/**
 * The kind of a file, by its first bytes (those of the unpacked text) and its name.
 *
 * @throws LoraError('dataset') where it is none of the formats, with what to do
 */
export function tableKindOf(file: string, head: Buffer, packing: Packing | null): TableKind {
  const binary = binaryFormat(head);
  if (binary !== null && packing === null) return { format: binary, packing, delimiter: '' };
  if (kindByName(file)?.format === 'csv' && isText(head))
    return { format: 'csv', packing, delimiter: delimiterOf(file, head) };
  if (isList(head)) return { format: 'json', packing, delimiter: '' };
  const other = otherKindOf(head);
  if (other) throw tableFault(file, `The file is ${other.name}, not JSON Lines.`, other.fix);
  return { format: 'jsonl', packing, delimiter: '' };
}

function binaryFormat(head: Buffer): TableFormat | null {
  if (startsWith(head, PARQUET)) return 'parquet';
  return startsWith(head, ARROW_FILE) || startsWith(head, ARROW_STREAM) ? 'arrow' : null;
}

/** Files of other kinds keep their names when they are renamed to .csv. */
function isText(head: Buffer): boolean {
  const kind = otherKindOf(head)?.name ?? '';
  return kind === '' || kind === 'plain text' || /^a (?:CSV|TSV) file/.test(kind);
}

/** A list whose first element is an object, or that is empty. */
const isList = (head: Buffer): boolean =>
  /^\uFEFF?\s*\[\s*[{\]]/.test(head.toString('utf8', 0, 4096));

const DELIMITERS = [',', '\t', ';', '|'] as const;

/** The character that stands most often between the cells of the first line. */
function delimiterOf(file: string, head: Buffer): string {
  const [line = ''] = head
    .toString('utf8')
    .replace(/"[^"]*"/g, '')
    .trimStart()
    .split('\n', 1);
  const isTabs = /\.(?:tsv|tab)(?:\.\w+)?$/i.test(file);
  const counts = DELIMITERS.map((each) => line.split(each).length - 1);
  const most = Math.max(...counts);
  if (isTabs && (counts[1]! > 0 || most === 0)) return '\t';
  return DELIMITERS[counts.indexOf(most)]!;
}
