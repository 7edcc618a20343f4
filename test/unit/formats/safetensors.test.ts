import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerLength, parseHeader } from '../../../src/formats/safetensors/header';
import { SafetensorsFile, withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors, type TensorToWrite } from '../../../src/formats/safetensors/write';
import { LoraError } from '../../../src/shared/errors';

const temp = () => mkdtempSync(path.join(tmpdir(), 'lora-safetensors-'));
const fixture = path.resolve(import.meta.dirname, '../../fixtures/llama/embed-tied/adapter/adapter_model.safetensors');

describe('safetensors', () => {
  it('writes PEFT\'s file byte for byte from its tensors', async () => {
    const copy = path.join(temp(), 'copy.safetensors');
    const tensors = await withSafetensors(fixture, async (source) => {
      const all: TensorToWrite[] = [];
      for (const { name, dtype, shape } of source.tensors.values()) all.push({ name, dtype, shape, data: await source.readBytes(name) });
      return all.reverse();
    });
    await writeSafetensors(copy, tensors);
    expect(readFileSync(copy).equals(readFileSync(fixture))).toBe(true);
    expect(readdirSync(path.dirname(copy))).toEqual(['copy.safetensors']);
  });

  it('reads back whatever was written', async () => {
    const tensor = fc.record({ name: fc.string({ minLength: 1 }).filter((n) => !n.startsWith('__')), values: fc.array(fc.float({ noNaN: true })) });
    await fc.assert(fc.asyncProperty(fc.uniqueArray(tensor, { selector: (t) => t.name }), async (tensors) => {
      const file = path.join(temp(), 'x.safetensors');
      await writeSafetensors(file, tensors.map(({ name, values }) => ({ name, dtype: 'F32', shape: [values.length], data: Float32Array.from(values) })));
      await withSafetensors(file, async (source) => {
        expect(source.tensors.size).toBe(tensors.length);
        for (const { name, values } of tensors) expect([...await source.readF32(name)]).toEqual(values);
      });
    }), { numRuns: 30 });
  });

  it('answers any bytes with a LoraError or a header, never otherwise', async () => {
    const original = readFileSync(fixture);
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 8 }), fc.nat(original.length), async (changes, length) => {
      const bytes = Buffer.from(original.subarray(0, length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const file = path.join(temp(), 'x.safetensors');
      writeFileSync(file, bytes);
      const result = await SafetensorsFile.open(file).then((opened) => opened.close(), (error: unknown) => error);
      if (result !== undefined) expect(result).toBeInstanceOf(LoraError);
    }), { numRuns: 100 });
  });

  it('believes no length that the file cannot hold', () => {
    const prefix = new Uint8Array(8).fill(255);
    expect(() => headerLength(prefix, { file: 'f', size: 1000, area: 'base' })).toThrow(/claims/);
    expect(() => parseHeader('{"a":{"dtype":"F32","shape":[9007199254740991,2],"data_offsets":[0,8]}}', 80, { file: 'f', size: 88, area: 'base' })).toThrow(LoraError);
  });

  it('leaves no file behind when writing fails', async () => {
    const folder = temp();
    await expect(writeSafetensors(path.join(folder, 'missing', 'x.safetensors'), [])).rejects.toThrow(/could not be written/);
    expect(readdirSync(folder)).toEqual([]);
  });
});
