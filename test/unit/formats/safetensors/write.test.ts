import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { temp } from '../../../support/temp';

const empty = (name: string) => ({
  name,
  dtype: 'U8' as const,
  shape: [0],
  data: new Uint8Array(0),
});

/** Writes tensors, and returns the file's header text and the hash that was reported. */
async function written(tensors: readonly TensorToWrite[], metadata?: Record<string, string>) {
  const file = path.join(temp(), 'x.safetensors');
  const sha256 = await writeSafetensors(file, tensors, metadata);
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  return {
    bytes,
    sha256,
    text: bytes.toString('utf8', 8, 8 + length),
    data: bytes.subarray(8 + length),
  };
}

describe('a written safetensors file', () => {
  it('has a header padded with spaces, then the data', async () => {
    const { text, data, bytes, sha256 } = await written([
      { name: 'm', dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, -1) },
      { name: 's', dtype: 'I16', shape: [], data: Int16Array.of(258) },
    ]);
    expect(text.trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},' +
        '"m":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},' +
        '"s":{"dtype":"I16","shape":[],"data_offsets":[8,10]}}',
    );
    expect(text.length % 8).toBe(0);
    expect(text.length - text.trimEnd().length).toBeLessThan(8);
    expect([...data]).toEqual([0, 0, 128, 63, 0, 0, 128, 191, 2, 1]);
    expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('sorts names by their UTF-8 bytes', async () => {
    const names = ['10', '2', 'Z', 'a', 'é', '\uffee', '😀'];
    const { text } = await written(names.toReversed().map(empty), {});
    expect([...text.matchAll(/"([^"]+)":\{/g)].map(([, name]) => name)).toEqual(names);
    expect(text).not.toContain('__metadata__');
  });
});
