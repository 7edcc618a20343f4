import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../../../src/formats/openBase';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { modelSize } from '../../../../src/formats/architecture/size';
import { QuantizedFiles } from '../../../../src/formats/quantized/storedTensors';
import { torchAoTensors } from '../../../../src/formats/quantized/torchAo';
import { temp } from '../../../support/temp';

const fixtures = path.join(__dirname, '../../../fixtures/quantized');
const CHECKPOINTS = [
  'bnb-nf4',
  'bnb-nf4-bf16',
  'bnb-fp4',
  'bnb-int8',
  'torchao-int8',
  'torchao-int4',
  'gptq',
  'gptq-order',
  'awq',
];

describe.each(CHECKPOINTS)('the checkpoint %s', (name) => {
  it('has the values of the library that quantized it, bit for bit', async () => {
    const base = await openBase(path.join(fixtures, name));
    const expected = path.join(fixtures, name, 'expected.safetensors');
    await withSafetensors(expected, async (file) => {
      const shown = [...file.tensors.keys()].filter((own) => own.endsWith('.weight'));
      expect(shown).toHaveLength(2);
      for (const own of shown) {
        const values = await file.readF32(own);
        expect(await base.weights.readF32(own)).toEqual(values);
        expect(base.weights.tensors.get(own)!.shape).toEqual(file.tensors.get(own)!.shape);
      }
    });
    await base.close();
  });

  it('counts the weights, not the bytes of their storage', async () => {
    const base = await openBase(path.join(fixtures, name));
    const plain = await openBase(path.join(fixtures, 'base'));
    expect(base.parameters).toBe(plain.parameters);
    const { quantized_bytes } = modelSize(base);
    // the kernels do not read columns whose groups are scattered
    if (name === 'gptq-order') expect(quantized_bytes).toBeNull();
    else expect(quantized_bytes).toBeLessThan(4 * base.parameters);
    await Promise.all([base.close(), plain.close()]);
  });
});

/** A copy of a checkpoint whose weights' bytes are changed. */
function changed(name: string, change: (text: string) => string): string {
  const folder = path.join(temp(), name);
  cpSync(path.join(fixtures, name), folder, { recursive: true });
  const file = path.join(folder, 'model.safetensors');
  const bytes = readFileSync(file).toString('latin1');
  const text = change(bytes);
  expect(text).toHaveLength(bytes.length);
  rmSync(file);
  writeFileSync(file, Buffer.from(text, 'latin1'));
  return folder;
}

describe('a damaged quantized checkpoint', () => {
  it.each([
    ['bnb-nf4', '"blocksize": 64', '"blocksize": 63', /no such blocksize/],
    ['bnb-nf4', '"shape": [64, 64]', '"shape": [64, 65]', /bytes, .* are needed/],
    ['bnb-nf4', '"shape": [64, 64]', '"shape": [64,-64]', /not that of a matrix/],
    ['bnb-nf4', '"dtype": "float32"', '"dtype": "float99"', /dtype is unknown/],
    ['bnb-nf4', '{"quant_type": "nf4"', '{"quant_type": "fp4"', /another than in its name/],
    ['bnb-nf4', '{"quant_type"', '["quant_type"', /not a JSON object/],
    ['bnb-nf4', '"nested_blocksize": 256', '"nested_blocksize": 512', /nested_blocksize/],
    ['bnb-nf4', 'q_proj.weight.absmax"', 'q_proj.weight.absmin"', /is missing|quantised/],
    ['bnb-int8', 'q_proj.SCB"', 'q_proj.SCD"', /is missing|cannot be used|quantised|config does/],
    ['torchao-int8', 'Int8Tensor', 'Int9Tensor', /torchao's Int9Tensor is not read/],
    ['torchao-int8', 'reduce_range', 'reduce_rangf', null],
    ['torchao-int8', 'q_proj._weight_scale"', 'q_proj._weight_scald"', /is missing/],
    ['gptq', 'q_proj.qzeros"', 'q_proj.qzerot"', /is missing/],
    ['awq', 'q_proj.scales"', 'q_proj.scalet"', /is missing/],
    ['torchao-int8', '\\"act_quant_kwargs\\": null', '\\"act_quant_kwargs\\": 1   ', /inputs/],
  ])('%s with %s as %s is refused', async (name, from, to, message) => {
    const folder = changed(name, (text) => text.replaceAll(from, to));
    const opened = openBase(folder);
    if (message) await expect(opened).rejects.toThrow(message);
    else await (await opened).close();
  });
});

describe('another storage of 4 bits', () => {
  it.each([
    ['gptq', '"bits": 4', '"bits": 3', /gptq with bits 3, which is not supported; 4 is/],
    ['gptq', '"checkpoint_format": "gptq"', '"checkpoint_format": "gptq_v2"', /"gptq_v2"/],
    ['awq', '"version": "gemm"', '"version": "gemv"', /awq with version "gemv"/],
    ['gptq', '"quantization_config"', '"quantization"', /does not say how .* are quantized/],
  ])('of %s, %s as %s, is refused by name', async (name, from, to, message) => {
    const folder = path.join(temp(), name);
    cpSync(path.join(fixtures, name), folder, { recursive: true });
    const config = path.join(folder, 'config.json');
    const text = readFileSync(config, 'utf8');
    expect(text).toContain(from);
    writeFileSync(config, text.replace(from, to));
    await expect(openBase(folder)).rejects.toThrow(message);
  });
});

describe("a weight in one of torchao's types for GPUs", () => {
  it.each(['Int4Tensor', 'Int4TilePackedTo4dTensor', 'Int4PlainInt32Tensor'])(
    '%s, as torchao writes it, is refused by name with what to do',
    async (type) => {
      const folder = path.join(fixtures, 'torchao-types');
      await withSafetensors(path.join(folder, `${type}.safetensors`), (file) => {
        const placed = new Map([...file.tensors.keys()].map((name) => [name, file]));
        const read = () => torchAoTensors(new QuantizedFiles(placed, folder));
        expect(read).toThrow(`torchao's ${type} is packed for GPUs`);
        expect(read).toThrow(
          expect.objectContaining({
            place: { file: file.file, tensor: 'proj._weight_qdata' },
            fix: expect.stringMatching(/"quantize": "nf4".*IntxWeightOnlyConfig/) as string,
          }),
        );
        return Promise.resolve();
      });
    },
  );
});
