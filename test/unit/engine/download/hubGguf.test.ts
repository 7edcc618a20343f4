import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { listHubFiles } from '../../../../src/engine/download/hub';
import { ggufOnHub } from '../../../../src/engine/download/hubGguf';
import type { Hub } from '../../../../src/engine/download/hubFetch';
import { usualMemory } from '../../../../src/engine/model/usualMemory';
import { openBase } from '../../../../src/formats/openBase';
import { asGguf } from '../../../support/ggufFixture';
import { ggufBytes } from '../../../support/ggufWriter';
import { startHub } from '../../../support/hub.mjs';
import { fixtures } from '../../../support/models';
import { temp } from '../../../support/temp';

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: true, available: 2 ** 34 };
const { metadata, tensors } = await asGguf(path.join(fixtures, 'llama', 'base'), 'llama');
const MODEL = ggufBytes(metadata, tensors);

async function hubWith(files: Readonly<Record<string, Buffer>>): Promise<Hub> {
  const server = await startHub({ files });
  onTestFinished(() => server.close());
  const { signal } = new AbortController();
  return {
    endpoint: server.endpoint,
    repository: 'owner/tiny',
    revision: 'main',
    token: null,
    signal,
  };
}

const verdicts = async (files: Readonly<Record<string, Buffer>>, named: string | null = null) => {
  const hub = await hubWith(files);
  return ggufOnHub(hub, await listHubFiles(hub), named, MACHINE);
};

it('a GGUF file on the Hub has the memory that it has once it is downloaded', async () => {
  const place = path.join(temp(), 'model.gguf');
  writeFileSync(place, MODEL);
  const base = await openBase(place);
  const expected = usualMemory(base, MACHINE);
  await base.close();
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith('lora-gguf-'));
  const found = await verdicts({ 'tiny.gguf': MODEL });
  expect(found).toEqual({
    family: 'llama',
    parameters: base.parameters,
    files: [{ file: 'tiny.gguf', bytes: MODEL.length, memory: expected }],
  });
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith('lora-gguf-'));
  expect(after).toEqual(before);
});

it('of several files each has the memory of its own size, but those in parts', async () => {
  const larger = Buffer.concat([MODEL, Buffer.alloc(MODEL.length)]);
  const files = {
    'large.gguf': larger,
    'small.gguf': MODEL,
    'parts-00001-of-00002.gguf': MODEL,
    'parts-00002-of-00002.gguf': MODEL,
  };
  const found = await verdicts(files);
  expect(found.files.map(({ file, bytes }) => [file, bytes])).toEqual([
    ['small.gguf', MODEL.length],
    ['large.gguf', larger.length],
  ]);
  expect((await verdicts(files, 'large.gguf')).files).toHaveLength(1);
});

it('a damaged header and a file that is not there are errors that name them', async () => {
  await expect(verdicts({ 'a.gguf': Buffer.alloc(3000, 7) })).rejects.toMatchObject({
    area: 'base',
    place: { file: 'a.gguf' },
  });
  await expect(verdicts({ 'a.gguf': MODEL.subarray(0, 900) })).rejects.toMatchObject({
    area: 'base',
    place: { file: 'a.gguf' },
  });
  await expect(verdicts({ 'a.gguf': MODEL }, 'b.gguf')).rejects.toThrow(/has no file b\.gguf/);
  await expect(verdicts({ 'README.md': MODEL })).rejects.toThrow(/has no \.gguf file/);
});
