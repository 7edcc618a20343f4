import { copyFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { valuesOf } from '../../../../src/host/inspector/statistics';
import { openTensorFile } from '../../../../src/host/inspector/tensorFile';
import { asInspectHostMessage } from '../../../../src/shared/pages/inspect/protocol';
import { sortedTensors } from '../../../../webview/inspect/tensors';
import { temp } from '../../../support/temp';

const adapter = 'test/fixtures/llama/lora-qv/adapter/adapter_model.safetensors';
const gguf = 'test/fixtures/llama/formats/gguf/adapter.gguf';

describe('a file of tensors', () => {
  it.each([
    [adapter, 'safetensors'],
    [gguf, 'gguf'],
  ])('%s tells names, types, shapes and values', async (file, format) => {
    const opened = await openTensorFile(file);
    try {
      const { tensors, bytes } = opened.facts;
      expect(opened.facts.format).toBe(format);
      expect(asInspectHostMessage({ kind: 'file', name: 'x', ...opened.facts })).toBeDefined();
      for (const { name, shape } of tensors) {
        const numbers = await opened.readF32(name);
        expect(numbers).toHaveLength(shape.reduce((a, b) => a * b, 1));
        expect(
          asInspectHostMessage({ kind: 'values', tensor: name, values: valuesOf(numbers) }),
        ).toBeDefined();
      }
      expect(tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)).toBeLessThan(bytes);
    } finally {
      await opened.close();
    }
  });

  it('shortens long values in the metadata', async () => {
    const opened = await openTensorFile(gguf);
    const { facts } = opened;
    await opened.close();
    expect(facts.metadata.find(({ key }) => key === 'general.type')?.value).toBe('adapter');
    for (const { value } of facts.metadata) expect(value.length).toBeLessThan(2_100);
  });

  it('is refused by name when it is damaged, empty or missing', async () => {
    const file = path.join(temp(), 'cut.safetensors');
    copyFileSync(adapter, file);
    truncateSync(file, 300);
    await expect(openTensorFile(file)).rejects.toMatchObject({ place: { file } });
    writeFileSync(file, '');
    await expect(openTensorFile(file)).rejects.toMatchObject({ place: { file } });
    await expect(openTensorFile(`${file}.gone`)).rejects.toMatchObject({
      message: 'The file cannot be read.',
    });
  });

  it('has no values for an unknown tensor', async () => {
    const opened = await openTensorFile(adapter);
    expect(() => opened.readF32('x')).toThrow(/does not contain this tensor/);
    await opened.close();
  });
});

describe('the values of a tensor', () => {
  it('have the right statistics and histogram', () => {
    const { histogram, ...facts } = valuesOf(Float32Array.of(-1, 0, 0, 3));
    expect(facts).toEqual({
      min: -1,
      max: 3,
      mean: 0.5,
      deviation: 1.5,
      norm: Math.sqrt(10),
      zeros: 2,
      notNumbers: 0,
      count: 4,
    });
    expect(histogram).toHaveLength(32);
    expect([histogram[0], histogram[8], histogram[31]]).toEqual([1, 2, 1]);
  });

  it('exclude NaN and infinity, and count them', () => {
    expect(valuesOf(Float32Array.of(NaN, Infinity, 2))).toMatchObject({
      min: 2,
      max: 2,
      mean: 2,
      notNumbers: 2,
      count: 3,
    });
    expect(valuesOf(Float32Array.of(NaN))).toMatchObject({ notNumbers: 1, histogram: [] });
  });
});

describe('the list of tensors', () => {
  const tensor = (name: string, bytes: number) => ({
    name,
    dtype: 'F32',
    shape: [bytes / 4],
    bytes,
  });
  const all = [tensor('layers.10.up', 8), tensor('layers.9.up', 16), tensor('layers.9.down', 4)];

  it('is filtered by words and sorted by any column, layers by their number', () => {
    expect(
      sortedTensors(all, { column: null, descending: false }, '9 UP').map(({ name }) => name),
    ).toEqual(['layers.9.up']);
    expect(
      sortedTensors(all, { column: 'name', descending: false }, '').map(({ name }) => name),
    ).toEqual(['layers.9.down', 'layers.9.up', 'layers.10.up']);
    expect(
      sortedTensors(all, { column: 'bytes', descending: true }, '').map(({ bytes }) => bytes),
    ).toEqual([16, 8, 4]);
  });
});
