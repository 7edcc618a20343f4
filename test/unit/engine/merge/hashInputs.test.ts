import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { hashInputs } from '../../../../src/engine/merge/hashInputs';
import { imageAdapter } from '../../../support/imageAdapters';
import { temp } from '../../../support/temp';

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

it('inputs of a merge are read once, until they change', async () => {
  const folder = temp();
  const [weights, cache] = [path.join(folder, 'w.safetensors'), path.join(folder, 'hashes.json')];
  const adapter = imageAdapter('sd-lora');
  const content = Buffer.alloc(16 * 2 ** 20, 7);
  writeFileSync(weights, content);
  const { ctimeMs } = await stat(weights);
  while (Date.now() - ctimeMs <= 2_100) await wait(100);
  const hash = async () => {
    const fractions: number[] = [];
    const inputs = await hashInputs({ weight_files: [weights] }, [adapter], {
      signal: new AbortController().signal,
      onProgress: (fraction) => fractions.push(fraction),
      cache,
    });
    expect(fractions.at(-1)).toBe(1);
    return { hashes: inputs.map((own) => own.sha256), parts: fractions.length };
  };
  const expected = [sha256(content), sha256(readFileSync(adapter))];
  const [first, again] = [await hash(), await hash()];
  expect([first.hashes, again.hashes]).toEqual([expected, expected]);
  expect(first.parts).toBeGreaterThan(10);
  expect(again.parts).toBe(2);
  writeFileSync(weights, Buffer.alloc(content.length, 8));
  expect((await hash()).hashes[0]).toBe(sha256(Buffer.alloc(content.length, 8)));
});
