import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { listModelFiles } from '../../../../src/engine/download/hub';
import { ggufOnHub } from '../../../../src/engine/download/hubGguf';
import type { Hub } from '../../../../src/engine/download/hubFetch';
import { usualMemory } from '../../../../src/formats/architecture/usualMemory';
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
  return ggufOnHub(hub, await listModelFiles(hub, named), named, MACHINE);
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
    others: [],
    incomplete: [],
  });
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith('lora-gguf-'));
  expect(after).toEqual(before);
});

it('RoPE factors that stand behind the header do not matter', async () => {
  const llama3 = await asGguf(path.join(fixtures, 'llama3', 'base'), 'llama');
  const factors = llama3.tensors.filter(({ name }) => name === 'rope_freqs.weight');
  const others = llama3.tensors.filter(({ name }) => name !== 'rope_freqs.weight');
  const bytes = ggufBytes(llama3.metadata, [...others, ...factors]);
  expect(factors).toHaveLength(1);
  const found = await verdicts({ 'llama3.gguf': bytes });
  expect(found.files.map(({ file }) => file)).toEqual(['llama3.gguf']);
});

/** The model in two files, as llama.cpp's llama-gguf-split writes it. */
function inParts(stem: string): Readonly<Record<string, Buffer>> {
  const half = Math.ceil(tensors.length / 2);
  const partOf = (i: number) => [
    ...(i === 0 ? metadata : []),
    ['split.no', { u32: i }] as const,
    ['split.count', { u32: 2 }] as const,
    ['split.tensors.count', { u32: tensors.length }] as const,
  ];
  return {
    [`${stem}-00001-of-00002.gguf`]: ggufBytes(partOf(0), tensors.slice(0, half)),
    [`${stem}-00002-of-00002.gguf`]: ggufBytes(partOf(1), tensors.slice(half)),
  };
}
const sizeOf = (files: Readonly<Record<string, Buffer>>) =>
  Object.values(files).reduce((sum, { length }) => sum + length, 0);

it('of several files each has the memory of its own size, in parts of all of them', async () => {
  const larger = Buffer.concat([MODEL, Buffer.alloc(MODEL.length)]);
  const parts = inParts('parts');
  const files = {
    'large.gguf': larger,
    'small.gguf': MODEL,
    ...parts,
    'mmproj-f16.gguf': Buffer.alloc(10),
    'cut-00001-of-00003.gguf': MODEL,
    'cut-00003-of-00003.gguf': MODEL,
  };
  const found = await verdicts(files);
  expect(found.files.map(({ file, bytes }) => [file, bytes])).toEqual([
    ['small.gguf', MODEL.length],
    ['parts-00001-of-00002.gguf', sizeOf(parts)],
    ['large.gguf', larger.length],
  ]);
  expect(found.incomplete).toEqual([
    { file: 'cut-00001-of-00003.gguf', missing: 'cut-00002-of-00003.gguf' },
  ]);
  expect((await verdicts(files, 'large.gguf')).files).toHaveLength(1);
  await expect(verdicts(files, 'cut-00001-of-00003.gguf')).rejects.toThrow(
    /lacks cut-00002-of-00003\.gguf/,
  );
});

it('a model in parts alone has the memory that it has once all are downloaded', async () => {
  const parts = inParts('tiny');
  const folder = temp();
  for (const [name, bytes] of Object.entries(parts)) writeFileSync(path.join(folder, name), bytes);
  const first = 'tiny-00001-of-00002.gguf';
  const base = await openBase(path.join(folder, first));
  const memory = usualMemory(base, MACHINE);
  await base.close();
  const expected = { file: first, bytes: sizeOf(parts), memory };
  expect((await verdicts(parts)).files).toEqual([expected]);
  expect((await verdicts(parts, first)).files).toEqual([expected]);
  await expect(verdicts(parts, 'tiny-00002-of-00002.gguf')).rejects.toThrow(/a later part/);
});

it('files in folders are named with them; those of other models have no verdict', async () => {
  const parts = inParts('Q4_K_M/tiny-Q4_K_M');
  const files = {
    'tiny-Q8_0.gguf': MODEL,
    ...parts,
    'tiny-UD-Q2_K_XL/tiny-UD-Q2_K_XL.gguf': MODEL,
    'large-instruct/tiny-Q4_K_M.gguf': MODEL,
    '../tiny.gguf': MODEL,
    'a/../../tiny.gguf': MODEL,
  };
  const found = await verdicts(files);
  const first = 'Q4_K_M/tiny-Q4_K_M-00001-of-00002.gguf';
  const names = found.files.map(({ file }) => file);
  expect(names.toSorted()).toEqual([
    first,
    'tiny-Q8_0.gguf',
    'tiny-UD-Q2_K_XL/tiny-UD-Q2_K_XL.gguf',
  ]);
  expect(found.others).toEqual([{ file: 'large-instruct/tiny-Q4_K_M.gguf', bytes: MODEL.length }]);
  const whole = await verdicts(parts);
  expect(whole.files.map(({ file, bytes }) => [file, bytes])).toEqual([[first, sizeOf(parts)]]);
  expect((await verdicts(files, first)).files).toEqual(whole.files);
  const other = await verdicts(files, 'large-instruct/tiny-Q4_K_M.gguf');
  expect([other.files.length, other.others]).toEqual([1, []]);
  await expect(verdicts(files, 'a/../../tiny.gguf')).rejects.toThrow(/has no file/);
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
