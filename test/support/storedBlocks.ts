import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { BaseModel } from '../../src/formats/baseModel';
import { GGUF_TYPES } from '../../src/formats/gguf/header';
import type { StoredMatrix } from '../../src/formats/weightSource';
import { createRandom } from '../../src/shared/random';
import { fixtures } from './models';

/**
 * The base with matrices in blocks of ggml's types, which are taken from those of the fixtures in a
 * random order. `typeOf`: null for a tensor that stays as it is.
 */
export function inBlocks(base: BaseModel, typeOf: (name: string) => string | null): BaseModel {
  const blocksOf = (name: string): StoredMatrix | null => {
    const [type, shape] = [typeOf(name), base.weights.tensors.get(name)!.shape];
    return type === null ? null : randomBlocks(type, shape as [number, number], name);
  };
  return { ...base, weights: { ...base.weights, blocksOf } };
}

function randomBlocks(
  type: string,
  [rows, width]: readonly [number, number],
  name: string,
): StoredMatrix {
  const own = GGUF_TYPES.get(type)!;
  const { block, bytes } = own;
  const known = readFileSync(path.join(fixtures, 'gguf-blocks', `${type}.blocks`));
  const random = createRandom(5, name);
  const row_bytes = (width / block) * bytes;
  const read: StoredMatrix['read'] = ({ data, words }) => {
    const target = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let row = 0; row < rows; row++)
      for (let at = 0; at < row_bytes; at += bytes) {
        const from = Math.floor((random() * known.length) / bytes) * bytes;
        target.set(known.subarray(from, from + bytes), 4 * words * row + at);
      }
    return Promise.resolve();
  };
  return { type: own.type, width, row_bytes, read };
}
