import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectAdapter, readAdapter } from '../../../src/formats/adapterFormat';
import { storedAlpha } from '../../../src/formats/checkFinite';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import { factorsOf, matrixOf, rescaled } from '../../../src/formats/importedAdapter';
import { temp } from '../../support/temp';

const fixtures = 'test/fixtures/llama';

async function readWith(folder: string, change: (config: Record<string, unknown>) => void) {
  const copy = path.join(temp(), 'adapter');
  cpSync(path.join(fixtures, folder), copy, { recursive: true });
  const file = path.join(copy, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  change(config);
  writeFileSync(file, JSON.stringify(config));
  return readAdapter(await detectAdapter(copy), null);
}

const withScale = (scale: number) =>
  readWith('formats/mlx', (config) =>
    Object.assign(config['lora_parameters'] as object, { scale }),
  );

describe('a scale beyond the range of float32', () => {
  it.each([1e308, -1e308, 1e39])('is rejected in mlx-lm settings: %d', async (scale) => {
    await expect(withScale(scale)).rejects.toMatchObject({
      area: 'adapter',
      message: expect.stringContaining('which float32 cannot hold') as string,
    });
  });

  it("is rejected in PEFT's lora_alpha", async () => {
    await expect(
      readWith('all-linear/adapter', (config) => {
        config['lora_alpha'] = 1e308;
      }),
    ).rejects.toThrow(/The scale of .* is \d.*e\+307/);
  });

  it.each([1e38, 1e-40])('is rejected in files that store alpha as float32: %d', (scaling) => {
    const own = { path: 'layer', scaling, r: 8 };
    expect(() => storedAlpha(own)).toThrow(
      /The alpha of layer would be \S+, which float32 cannot hold/,
    );
    expect(storedAlpha({ ...own, scaling: 2 })).toBe(16);
  });

  it("is rejected for mlx-lm's DoRA of an embedding: one magnitude for each token", async () => {
    const folder = path.join(temp(), 'adapter');
    mkdirSync(folder);
    const tensor = (leaf: string, shape: number[]) => ({
      name: `model.embed_tokens.${leaf}`,
      dtype: 'F32' as const,
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
    });
    await writeSafetensors(path.join(folder, 'adapters.safetensors'), [
      tensor('lora_a', [4, 1]),
      tensor('lora_b', [1, 4]),
      tensor('m', [4]),
    ]);
    const settings = { fine_tune_type: 'dora', lora_parameters: { rank: 1, scale: 1 } };
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(settings));
    await expect(detectAdapter(folder).then((own) => readAdapter(own, null))).rejects.toThrow(
      /mlx-lm's DoRA scales model\.embed_tokens by token, but PEFT's by dimension/,
    );
  });

  it('is rejected if it would be folded into B', () => {
    const matrix = (rows: number, columns: number) =>
      matrixOf(new Float32Array(rows * columns).fill(2), [rows, columns], {
        file: 'x.safetensors',
        tensor: 'b',
      });
    const factors = (scaling: number) =>
      factorsOf({ path: 'layer', kind: 'linear', scaling, A: matrix(1, 3), B: matrix(3, 1) });
    expect(() => factors(-3e38)).toThrow(/B of layer cannot be multiplied by the scale -3e\+38/);
    expect(() => rescaled(factors(3e38), 1e-30)).toThrow(/cannot be multiplied/);
    expect(rescaled(factors(3), 1.5)).toEqual(Float32Array.of(4, 4, 4));
  });
});
