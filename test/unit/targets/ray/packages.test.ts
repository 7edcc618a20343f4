import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unzip } from '../../../../src/runtime/zip';
import type { BundleItem } from '../../../../src/targets/target';
import { bytesOf, packagesOf, planItem, readPackage } from '../../../../src/targets/ray/packages';
import { temp } from '../../../support/temp';

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

function itemOf(contents: readonly Uint8Array[]): BundleItem {
  const folder = temp();
  const files = contents.map((content, index) => {
    const source = path.join(folder, String(index));
    writeFileSync(source, content);
    return { path: `a/${index}.bin`, source, size: content.length, sha256: sha256(content) };
  });
  return { id: 'ab'.repeat(8), label: 'base', files };
}

const itemOfSizes = (sizes: readonly number[]): BundleItem => ({
  id: 'ab'.repeat(8),
  label: 'base',
  files: sizes.map((size, i) => ({ path: `${i}`, source: `/${i}`, size, sha256: '' })),
});

describe('the plan of an item', () => {
  it('covers each file once, in order, in packages of the given size', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(50), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 30 }),
        (sizes, packageBytes) => {
          const plan = planItem(itemOfSizes(sizes), packageBytes);
          sizes.forEach((size, file) => {
            let end = 0;
            for (const piece of plan.pieces.filter((own) => own.file === file)) {
              expect(piece.offset).toBe(end);
              end += piece.bytes;
            }
            expect(end).toBe(size);
          });
          for (const name of packagesOf(plan)) {
            const own = plan.pieces.filter((piece) => piece.package === name);
            expect(bytesOf(own)).toBeLessThanOrEqual(packageBytes);
            expect(new Set(own.map((piece) => piece.name)).size).toBe(own.length);
          }
        },
      ),
    );
  });

  it('has a piece for an empty file, and names that tell how many packages there are', () => {
    const plan = planItem(itemOfSizes([0, 5]), 4);
    expect(plan.pieces.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['0.0', 0],
      ['1.0', 4],
      ['1.4', 1],
    ]);
    expect(packagesOf(plan)).toEqual([
      `_ray_pkg_lora_${'ab'.repeat(8)}_0_2.zip`,
      `_ray_pkg_lora_${'ab'.repeat(8)}_1_2.zip`,
    ]);
  });
});

describe('a package', () => {
  it('is a zip file with the bytes of its pieces', async () => {
    const contents = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('three and more')];
    const item = itemOf(contents);
    const plan = planItem(item, 8);
    const parts: Buffer[] = contents.map(() => Buffer.alloc(0));
    for (const name of packagesOf(plan)) {
      const pieces = plan.pieces.filter((piece) => piece.package === name);
      const folder = temp();
      const zip = path.join(folder, 'package.zip');
      writeFileSync(zip, await readPackage(item, pieces));
      const { signal } = new AbortController();
      const names = await unzip(zip, (entry) => path.join(folder, entry), signal);
      expect([...names].sort()).toEqual(pieces.map((piece) => piece.name).sort());
      for (const piece of pieces)
        parts[piece.file] = Buffer.concat([
          parts[piece.file]!,
          readFileSync(path.join(folder, piece.name)),
        ]);
    }
    expect(parts).toEqual(contents);
  });

  it('is not made of a file that became shorter', async () => {
    const item = itemOf([Buffer.from('four')]);
    const { pieces } = planItem(item);
    writeFileSync(item.files[0]!.source, 'two');
    await expect(readPackage(item, pieces)).rejects.toThrow(
      'A file became shorter while it was sent.',
    );
  });
});
