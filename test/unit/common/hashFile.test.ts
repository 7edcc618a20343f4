import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashFile } from '../../../src/common/hashFile';
import { temp } from '../../support/temp';

function fileOf(bytes: Buffer): string {
  const file = path.join(temp(), 'file');
  writeFileSync(file, bytes);
  return file;
}

describe('hashFile', () => {
  it('is the sha256 of the whole file, whatever its size', async () => {
    for (const size of [0, 3, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20]) {
      const bytes = Buffer.alloc(size, 'abc');
      const expected = createHash('sha256').update(bytes).digest('hex');
      expect(await hashFile(fileOf(bytes))).toBe(expected);
    }
  });

  it('continues a given hash', async () => {
    // what `git hash-object` prints for a file that holds "hello\n"
    const hash = createHash('sha1').update('blob 6\0');
    expect(await hashFile(fileOf(Buffer.from('hello\n')), { hash })).toBe(
      'ce013625030ba8dba906f756967f9e9ca394464a',
    );
  });

  it('reports every byte once', async () => {
    let count = 0;
    await hashFile(fileOf(Buffer.alloc(2 ** 20 + 5)), { onBytes: (bytes) => (count += bytes) });
    expect(count).toBe(2 ** 20 + 5);
  });

  it('rejects with the error that onBytes throws', async () => {
    const fail = () => {
      throw new RangeError('enough');
    };
    await expect(hashFile(fileOf(Buffer.alloc(9)), { onBytes: fail })).rejects.toThrow('enough');
  });

  it('rejects when its signal is aborted', async () => {
    const signal = AbortSignal.abort();
    await expect(hashFile(fileOf(Buffer.alloc(9)), { signal })).rejects.toThrow(/abort/i);
  });

  it('rejects for a file that does not exist', async () => {
    await expect(hashFile(path.join(temp(), 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
