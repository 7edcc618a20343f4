import { writeFileSync } from 'node:fs';
import type * as promises from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { GgufFile } from '../../../../src/formats/gguf/read';
import { writeGguf, type GgufEntry } from '../../../../src/formats/gguf/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { temp } from '../../../support/temp';

/** All file handles that were opened; a closed one has the descriptor -1. */
const handles = vi.hoisted((): promises.FileHandle[] => []);
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof promises>();
  const open: typeof real.open = async (...args) => {
    const handle = await real.open(...args);
    handles.push(handle);
    return handle;
  };
  return { ...real, open };
});

const SCALES = [1, 2, -0.5];
/** Q8_0 blocks, each of 32 times its scale. */
const BLOCKS: TensorToWrite = {
  name: 'blocks',
  dtype: 'Q8_0',
  shape: [96],
  data: Buffer.concat(
    [0x3c00, 0x4000, 0xb800].map((half) =>
      Buffer.from([half & 255, half >> 8, ...Array<number>(32).fill(1)]),
    ),
  ),
};
const HALVES: TensorToWrite = {
  name: 'halves',
  dtype: 'F16',
  shape: [2, 2],
  data: Uint16Array.of(0x3c00, 0x4000, 0xb800, 0),
};
const COUNTS: TensorToWrite = {
  name: 'counts',
  dtype: 'I32',
  shape: [2],
  data: Int32Array.of(1, 2),
};

async function opened(
  tensors: readonly TensorToWrite[],
  metadata: readonly GgufEntry[] = [],
): Promise<GgufFile> {
  const file = path.join(temp(), 'x.gguf');
  await writeGguf(file, metadata, tensors);
  return GgufFile.open(file);
}

describe('GGUF tensors', () => {
  it('are read as f32, completely or by blocks', async () => {
    const source = await opened([HALVES, BLOCKS]);
    const [halves, blocks] = ['halves', 'blocks'].map((n) => source.header.tensors.get(n)!);
    expect([...(await source.readF32(halves!))]).toEqual([1, 2, -0.5, 0]);
    const target = new Float32Array(96);
    expect(await source.readF32(blocks!, target)).toBe(target);
    expect([...target]).toEqual(SCALES.flatMap((scale) => Array<number>(32).fill(scale)));
    expect(await source.readRange(blocks!, 32, 64)).toEqual(target.slice(32));
    expect([...(await source.readRange(halves!, 1, 2))]).toEqual([2, -0.5]);
    await source.close();
    expect(handles.at(-1)!.fd).toBe(-1);
  });

  it('are read as bf16', async () => {
    const source = await opened([HALVES]);
    const halves = source.header.tensors.get('halves')!;
    const expected = [0x3f80, 0x4000, 0xbf00, 0];
    expect([...(await source.readBF16(halves))]).toEqual(expected);
    const target = new Uint16Array(4);
    expect(await source.readBF16(halves, target)).toBe(target);
    expect([...target]).toEqual(expected);
    await source.close();
  });

  it('are converted to bf16 part by part', async () => {
    const values = new Float32Array((1 << 20) + 2);
    values.set([1, 2, -0.5], (1 << 20) - 1);
    const source = await opened([
      { name: 'large', dtype: 'F32', shape: [values.length], data: values },
    ]);
    const bits = await source.readBF16(source.header.tensors.get('large')!);
    expect([...bits.subarray((1 << 20) - 2)]).toEqual([0, 0x3f80, 0x4000, 0xbf00]);
    await source.close();
  });

  it('are not read as weights if they are integers', async () => {
    const source = await opened([COUNTS]);
    const counts = source.header.tensors.get('counts')!;
    await expect(source.readF32(counts)).rejects.toMatchObject({
      area: 'base',
      message: 'Tensors of type I32 cannot be used as weights.',
      place: { file: source.file, tensor: 'counts' },
    });
    expect(await source.readBytes(counts.start, 8, 'counts')).toEqual(
      Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0),
    );
    await source.close();
  });
});

describe('a GGUF file', () => {
  it('reads a header larger than the first chunk', async () => {
    const value = 'x'.repeat(5 << 20);
    const source = await opened([HALVES], [{ key: 'long', type: 'string', value }]);
    expect(source.header.metadata.get('long')).toBe(value);
    expect([...(await source.readF32(source.header.tensors.get('halves')!))]).toHaveLength(4);
    await source.close();
  });

  it('is closed if its header is invalid', async () => {
    const file = path.join(temp(), 'x.gguf');
    writeFileSync(file, Buffer.alloc(100));
    await expect(GgufFile.open(file)).rejects.toThrow('The file is not a GGUF file.');
    expect(handles.at(-1)!.fd).toBe(-1);
    await expect(GgufFile.open(path.join(temp(), 'none.gguf'))).rejects.toMatchObject({
      area: 'base',
    });
  });
});
