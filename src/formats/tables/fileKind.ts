/** A kind of file that is no dataset, and what to do with it. */
export interface OtherKind {
  /** "a CSV file" */
  readonly name: string;
  /** An imperative sentence. */
  readonly fix: string;
}

const WRITE_WITH_PANDAS =
  "Convert it to JSON Lines, for example with pandas: to_json('data.jsonl', orient='records', lines=True, force_ascii=False).";
const SAVE_AS_CSV = 'Save it as CSV in UTF-8, with the names of the columns in the first line.';
const DECOMPRESS = 'Decompress it and name the .jsonl file in it, or compress that with gzip.';
const EXPORT = 'Export its rows as JSON Lines, one JSON object per line.';

interface Signature extends OtherKind {
  readonly at?: number;
  /** Hexadecimal. */
  readonly bytes: string;
}

const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex');

/** First bytes of files that are not text. */
const SIGNATURES: readonly Signature[] = [
  { bytes: '1f8b', name: 'compressed with gzip', fix: DECOMPRESS },
  { bytes: '28b52ffd', name: 'compressed with zstd', fix: DECOMPRESS },
  { bytes: hex('BZh'), name: 'compressed with bzip2', fix: DECOMPRESS },
  { bytes: 'fd377a585a00', name: 'compressed with xz', fix: DECOMPRESS },
  { bytes: '04224d18', name: 'compressed with lz4', fix: DECOMPRESS },
  { bytes: '377abcaf271c', name: 'a 7z archive', fix: DECOMPRESS },
  { bytes: hex('Rar!'), name: 'a RAR archive', fix: DECOMPRESS },
  { bytes: hex('ustar'), at: 257, name: 'a tar archive', fix: 'Unpack it and name a file in it.' },
  { bytes: hex('PAR1'), name: 'a Parquet file', fix: WRITE_WITH_PANDAS },
  { bytes: hex('ARROW1'), name: 'an Arrow file', fix: WRITE_WITH_PANDAS },
  {
    bytes: 'ffffffff',
    name: 'an Arrow file',
    fix: "Convert it to JSON Lines, for example with datasets: Dataset.from_file('data.arrow').to_json('data.jsonl').",
  },
  { bytes: hex('FEA1'), name: 'a Feather file', fix: WRITE_WITH_PANDAS },
  { bytes: hex('ORC'), name: 'an ORC file', fix: WRITE_WITH_PANDAS },
  { bytes: `${hex('Obj')}01`, name: 'an Avro file', fix: EXPORT },
  { bytes: hex('\x89HDF'), name: 'an HDF5 file', fix: EXPORT },
  { bytes: hex('\x93NUMPY'), name: 'a NumPy array', fix: EXPORT },
  { bytes: hex('SQLite format 3\0'), name: 'a SQLite database', fix: EXPORT },
  { bytes: hex('DUCK'), at: 8, name: 'a DuckDB database', fix: EXPORT },
  {
    bytes: 'd0cf11e0a1b11ae1',
    name: 'an Excel or another old Office file',
    fix: SAVE_AS_CSV,
  },
  {
    bytes: hex('%PDF-'),
    name: 'a PDF document',
    fix: 'Extract its text and write it as JSON Lines, such as {"text": "…"}.',
  },
  { bytes: hex('GGUF'), name: 'a GGUF model', fix: 'Name it as "base", and a .jsonl file here.' },
  {
    bytes: hex('\x89PNG'),
    name: 'a PNG image',
    fix: 'For images, name the folder of the classes.',
  },
  { bytes: 'ffd8ff', name: 'a JPEG image', fix: 'For images, name the folder of the classes.' },
  { bytes: hex('\x7fELF'), name: 'a program', fix: 'Name the .jsonl file with the rows.' },
];

/** Recognizes a file that is no JSON Lines by its first bytes; null if it may be such a dataset. */
export function otherKindOf(start: Buffer): OtherKind | null {
  const signature = SIGNATURES.find(({ at = 0, bytes }) => hasBytes(start, bytes, at));
  return signature ?? zipKind(start) ?? utf16Kind(start) ?? zeroKind(start) ?? textKind(start);
}

const hasBytes = (start: Buffer, bytes: string, at: number): boolean =>
  start.toString('hex', at, at + bytes.length / 2) === bytes;

function zipKind(start: Buffer): OtherKind | null {
  if (!hasBytes(start, '504b0304', 0)) return null;
  const names = start.toString('latin1');
  if (names.includes('xl/')) return { name: 'an Excel file (XLSX)', fix: SAVE_AS_CSV };
  if (names.includes('[Content_Types].xml'))
    return { name: 'an Office document or an Excel file (XLSX)', fix: SAVE_AS_CSV };
  return { name: 'a zip archive', fix: 'Unpack it and name the .jsonl file in it.' };
}

/** With a byte order mark, or recognized by its zero bytes. */
function utf16Kind(start: Buffer): OtherKind | null {
  const kind = { name: 'text in UTF-16', fix: 'Save it as UTF-8.' };
  const mark = start.toString('hex', 0, 2);
  if (mark === 'fffe' || mark === 'feff') return kind;
  const pairs = Math.floor(Math.min(start.length, 1024) / 2);
  if (pairs < 2) return null;
  const zeros = [0, 0];
  for (let i = 0; i < 2 * pairs; i++) if (start[i] === 0) zeros[i % 2]!++;
  const [even, odd] = zeros as [number, number];
  const isText = Math.max(even, odd) > 0.7 * pairs && Math.min(even, odd) < 0.1 * pairs;
  return isText ? kind : null;
}

/** Of files that an interrupted copy or a crash has left behind. */
function zeroKind(start: Buffer): OtherKind | null {
  return start.length > 0 && start.every((byte) => byte === 0)
    ? { name: 'empty apart from NUL bytes', fix: 'It is damaged: restore or copy it again.' }
    : null;
}

const LINES_LOOKED_AT = 50;

function textKind(start: Buffer): OtherKind | null {
  const text = start.toString('utf8').replace(/^\uFEFF/, '');
  const head = text.trimStart().slice(0, 200).toLowerCase();
  if (head.startsWith('version https://git-lfs.github.com/'))
    return { name: 'a Git LFS pointer, not the data itself', fix: 'Run "git lfs pull".' };
  if (/^\.{0,2}[\w./\\-]*[/\\]annex[/\\]objects[/\\]/.test(head))
    return { name: 'a git-annex pointer, not the data itself', fix: 'Run "git annex get".' };
  if (/^<(?:!doctype html|html|head|body)/.test(head))
    return {
      name: 'a web page (HTML), probably an error page that was downloaded',
      fix: 'Download the data again, and check that the address needs no login.',
    };
  if (head.startsWith('<?xml')) return { name: 'an XML file', fix: EXPORT };
  return tableKind(text);
}

/** Text of which no line begins like JSON: a table, or plain text. */
function tableKind(text: string): OtherKind | null {
  const lines = text
    .split('\n', LINES_LOOKED_AT)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length < 2 || lines.some(beginsLikeJson)) return null;
  for (const [name, separator] of [
    ['a TSV file (a table separated by tabs)', '\t'],
    ['a CSV file', ','],
    ['a CSV file', ';'],
    ['a CSV file', '|'],
  ] as const)
    if (isTable(text, separator))
      return {
        name,
        fix: `Rename it, so that it ends in ${separator === '\t' ? '.tsv' : '.csv'}.`,
      };
  return {
    name: 'plain text',
    fix: 'Write each text as a JSON object on a line of its own: {"text": "…"}.',
  };
}

/** Also rows that are nearly JSON, which are reported by line. */
const beginsLikeJson = (line: string) => /^[{[\]}]/.test(line) || /^"[^"]*"\s*:/.test(line);

/** Whether the first line names at least two columns and more lines have that separator. */
function isTable(text: string, separator: string): boolean {
  const [head = '', ...others] = text.split('\n', 4);
  const columns = head.split(separator).map((name) => name.trim());
  const areNames = columns.every((name) => name.length > 0 && name.length <= 60);
  return (
    columns.length >= 2 && areNames && others.filter((line) => line.includes(separator)).length > 0
  );
}
