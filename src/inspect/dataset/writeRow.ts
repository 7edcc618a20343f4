import { lstat, open, type FileHandle } from 'node:fs/promises';
import { replaceFile, writeAll } from '../../common/atomicWrite';
import { onOneLine, withFields, isJson } from '../../data/rows/jsonFields';
import { MAX_ROW_BYTES, type RawRow } from '../../formats/tables/table';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { DataEdit, DataWrite, PlannedEdit } from './questions';
import { hashOf, jsonOf } from './rowReader';
import type { OpenedDataset } from './opened';

/** Bytes that are copied at once. */
const COPIED_BYTES = 2 ** 22;

/** What an edit would write. @throws LoraError('dataset') for what is no row, or has changed */
export async function planEdit(session: OpenedDataset, edit: DataEdit): Promise<PlannedEdit> {
  const { raw } = await session.readRow(edit.row);
  if (hashOf(raw) !== edit.hash) throw changed(session, raw);
  const before = jsonOf(raw);
  const after = edit.raw === null ? withFields(before, edit.fields) : onOneLine(edit.raw);
  checkRow(after, session, raw);
  return { number: raw.number, before, after };
}

function checkRow(text: string, session: OpenedDataset, raw: RawRow): void {
  const refuse = (message: string) => {
    throw new LoraError('dataset', message, placeOf(session, raw));
  };
  if (!isJson(text)) refuse('The row was not written, because it is not valid JSON.');
  if (!isObject(JSON.parse(text))) refuse('The row was not written: it must be a JSON object.');
  if (/[\r\n]/.test(text)) refuse('The row was not written: it has more than one line.');
  if (Buffer.byteLength(text) > MAX_ROW_BYTES) refuse('The row was not written: it is too long.');
}

const placeOf = ({ reading: { file, unit } }: OpenedDataset, { number }: RawRow) => ({
  place: { file, [unit]: number },
});

const changed = (session: OpenedDataset, raw: RawRow): LoraError =>
  new LoraError('dataset', 'The row was not written: it has changed since it was shown.', {
    ...placeOf(session, raw),
    fix: 'Close the row and open it again.',
  });

/**
 * Writes a row in place of another one: the whole file under a temporary name, which is then
 * renamed. A link is not followed.
 *
 * @throws LoraError('dataset') where the file does not hold the row any more
 */
export async function writeRow(session: OpenedDataset, write: DataWrite): Promise<void> {
  const { file } = session.reading;
  const { before, after, row } = write;
  const [raw] = write.isWritten ? [null] : await session.rawRows([row]);
  const bytes = Buffer.from(after);
  if (write.isWritten) {
    await session.rewritten(row, bytes.length - Buffer.byteLength(before));
    return;
  }
  if (raw?.kind !== 'json' || !raw.bytes || jsonOf(raw) !== before)
    throw changed(session, raw ?? { kind: 'fault', number: row + 1, offset: 0, message: '' });
  const length = raw.bytes.length;
  await replaceUnchanged(file, async (from, to, size) => {
    await copy(from, to, 0, raw.offset);
    await writeAll(to, bytes);
    await copy(from, to, raw.offset + length, size);
  });
  await session.rewritten(row, bytes.length - length);
}

/** Writes a row after the last one. @throws LoraError('dataset') */
export async function appendRow(session: OpenedDataset, text: string): Promise<void> {
  const { file } = session.reading;
  const line = onOneLine(text);
  checkRow(line, session, { kind: 'fault', number: session.total + 1, offset: 0, message: '' });
  await replaceUnchanged(file, async (from, to, size) => {
    await copy(from, to, 0, size);
    const { buffer } = await from.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    const isEnded = size === 0 || buffer[0] === 10;
    await writeAll(to, Buffer.from(`${isEnded ? '' : '\n'}${line}\n`));
  });
  await session.rewritten(session.facts.length, 0);
}

type Fill = (from: FileHandle, to: FileHandle, size: number) => Promise<void>;

/** Replaces a file by a changed copy, unless another program writes it meanwhile. */
async function replaceUnchanged(file: string, fill: Fill): Promise<void> {
  const info = await lstat(file);
  if (info.isSymbolicLink())
    throw new LoraError('dataset', 'The dataset is a link, which is not written through.', {
      place: { file },
      fix: 'Open the file that it points to.',
    });
  const from = await open(file, 'r');
  try {
    await replaceFile(file, async (to) => {
      await to.chmod(info.mode & 0o777);
      await fill(from, to, info.size);
      const now = await lstat(file);
      if (now.size !== info.size || now.mtimeMs !== info.mtimeMs || now.ino !== info.ino)
        throw new LoraError(
          'dataset',
          'The row was not written: another program writes the file.',
          {
            place: { file },
            fix: 'Try again when nothing writes it.',
          },
        );
    });
  } finally {
    await from.close();
  }
}

async function copy(from: FileHandle, to: FileHandle, start: number, end: number): Promise<void> {
  const buffer = Buffer.alloc(Math.min(COPIED_BYTES, Math.max(0, end - start)));
  for (let at = start; at < end;) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - at), at);
    if (bytesRead === 0) return;
    await writeAll(to, buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
