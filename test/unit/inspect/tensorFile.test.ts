import { copyFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { valuesOf } from '../../../src/inspect/statistics';
import { openTensorFile } from '../../../src/inspect/tensorFile';
import { asInspectHostMessage } from '../../../src/shared/pages/inspect/protocol';
import { temp } from '../../support/temp';

const adapter = 'test/fixtures/llama/lora-qv/adapter/adapter_model.safetensors';
const gguf = 'test/fixtures/llama/formats/gguf/adapter.gguf';

describe('a file of tensors', () => {
  it.each([
    [adapter, 'safetensors'],
    [gguf, 'gguf'],
  ])('%s has names, types, shapes and values', async (file, format) => {
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

  it('of an adapter shows what its configuration says of it: DoRA, whole tensors', async () => {
    const folder = temp();
    const file = path.join(folder, 'adapter_model.safetensors');
    copyFileSync(adapter, file);
    const config = {
      r: 8,
      use_rslora: false,
      use_dora: true,
      target_modules: ['q_proj'],
      modules_to_save: ['lm_head'],
      rank_pattern: {},
      layers_to_transform: null,
      bias: 'none',
    };
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
    const metadataOf = async () => {
      const opened = await openTensorFile(file);
      await opened.close();
      return Object.fromEntries(opened.facts.metadata.map(({ key, value }) => [key, value]));
    };
    expect(await metadataOf()).toEqual({
      r: '8',
      use_dora: 'true',
      target_modules: '["q_proj"]',
      modules_to_save: '["lm_head"]',
      format: 'pt',
    });
    writeFileSync(path.join(folder, 'adapter_config.json'), '{');
    expect(await metadataOf()).toEqual({ format: 'pt' });
  });

  it('is refused with its name if it is damaged, empty or missing', async () => {
    const file = path.join(temp(), 'cut.safetensors');
    copyFileSync(adapter, file);
    truncateSync(file, 300);
    await expect(openTensorFile(file)).rejects.toMatchObject({ place: { file } });
    writeFileSync(file, '');
    await expect(openTensorFile(file)).rejects.toMatchObject({ place: { file } });
    await expect(openTensorFile(`${file}.gone`)).rejects.toMatchObject({
      message: 'The file cannot be read: it does not exist.',
    });
  });

  it('has no values for an unknown tensor', async () => {
    const opened = await openTensorFile(adapter);
    expect(() => opened.readF32('x')).toThrow(/does not contain this tensor/);
    await opened.close();
  });
});
