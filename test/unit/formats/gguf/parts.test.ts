import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBase } from '../../../../src/formats/openBase';
import { detectAdapter } from '../../../../src/formats/adapterFormat';
import { LoraError } from '../../../../src/shared/errors';
import { inFixtures } from '../../../support/cliResults';
import { asGguf, type GgufParts } from '../../../support/ggufFixture';
import { ggufBytes, type Value } from '../../../support/ggufWriter';

const COUNT = 3;

async function refusal(act: Promise<unknown>): Promise<string> {
  const error = await act.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LoraError);
  return (error as LoraError).describe();
}

describe('a model in three .gguf files', () => {
  let good: GgufParts;
  beforeAll(async () => {
    good = await asGguf(inFixtures('llama/base'), 'llama');
  });

  /** Writes the parts; returns their paths. */
  function split(change: (i: number) => readonly (readonly [string, Value])[] = () => []) {
    const folder = mkdtempSync(path.join(tmpdir(), 'lora-parts-'));
    const each = Math.ceil(good.tensors.length / COUNT);
    return Array.from({ length: COUNT }, (_, i) => {
      const own = new Map<string, Value>([
        ...(i === 0 ? good.metadata : []),
        ['split.no', { u32: i }],
        ['split.count', { u32: COUNT }],
        ['split.tensors.count', { u32: good.tensors.length }],
        ...change(i),
      ]);
      const file = path.join(folder, `m-0000${i + 1}-of-0000${COUNT}.gguf`);
      writeFileSync(file, ggufBytes([...own], good.tensors.slice(i * each, (i + 1) * each)));
      return file;
    });
  }

  it('is opened by any of them, with the tensors of all', async () => {
    const files = split();
    const whole = path.join(path.dirname(files[0]!), 'whole.gguf');
    writeFileSync(whole, ggufBytes(good.metadata, good.tensors));
    const want = await openBase(whole);
    for (const file of files) {
      const base = await openBase(file);
      expect([base.path, base.weight_files]).toEqual([files[0], files]);
      expect([...base.weights.tensors.keys()]).toEqual([...want.weights.tensors.keys()]);
      for (const name of base.weights.tensors.keys())
        expect(await base.weights.readF32(name)).toEqual(await want.weights.readF32(name));
      await base.close();
    }
    await want.close();
  });

  it('is refused when a part is missing or has another place, naming the file', async () => {
    const files = split();
    rmSync(files[1]!);
    expect(await refusal(openBase(files[2]!))).toMatch(/00002-of-00003.gguf: A part .* missing/);
    const swapped = split((i) => (i === 1 ? [['split.no', { u32: 2 }]] : []));
    expect(await refusal(openBase(swapped[0]!))).toMatch(/part 3 of 3, but its name says 2 of 3/);
    const fewer = split(() => [['split.tensors.count', { u32: 99 }]]);
    expect(await refusal(openBase(fewer[0]!))).toMatch(/tensors together, not 99/);
    const mixed = split((i) => (i === 2 ? [['split.tensors.count', { u32: 98 }]] : []));
    expect(await refusal(openBase(mixed[0]!))).toMatch(/00003-of-00003.*tensors together, not 98/);
  });

  it('is refused when a file has a number that no part has, naming it', async () => {
    const files = split();
    const extra = files[2]!.replace('00003-of', '00004-of');
    copyFileSync(files[2]!, extra);
    expect(await refusal(openBase(extra))).toMatch(
      /00004-of-00003\.gguf.*no part of a model of 3 parts/,
    );
    expect(await refusal(openBase(extra))).toMatch(/Name m-00001-of-00003\.gguf/);
  });
});

it.each([
  ['imatrix', [['general.type', { text: 'imatrix' }]], /importance matrix \(imatrix\)/],
  ['mmproj', [['general.type', { text: 'mmproj' }]], /projector .*\(mmproj\)/],
  ['clip', [['general.architecture', { text: 'clip' }]], /projector .*\(mmproj\)/],
] as const)('a .gguf file of the kind %s is called what it is', async (_, metadata, kind) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'lora-kind-')), 'a.gguf');
  writeFileSync(file, ggufBytes(metadata, []));
  expect(await refusal(openBase(file))).toMatch(kind);
  expect(await refusal(detectAdapter(file))).toMatch(kind);
});

it.each([
  [[], /does not say its type: adapter\.type is missing/],
  [[['adapter.type', { text: 'control' }]], /an adapter of the type "control"/],
] as const)('an adapter that is no LoRA adapter is named by its type: %j', async (type, reason) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'lora-kind-')), 'a.gguf');
  writeFileSync(file, ggufBytes([['general.type', { text: 'adapter' }], ...type], []));
  await expect(detectAdapter(file)).rejects.toThrow(reason);
});
