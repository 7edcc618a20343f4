import { describe, expect, it } from 'vitest';
import { commonSizes } from '../../../../src/formats/architecture/commonSizes';

const machine = (available: number) => ({
  hasBf16: true,
  hasKernels: true,
  multipliesBf16: true,
  available,
});

describe('models of common sizes', () => {
  it('have the parameters that their pages on the Hub state', () => {
    const counts = commonSizes(machine(0)).map(({ model, parameters }) => [model, parameters]);
    expect(counts).toEqual([
      ['Qwen/Qwen2.5-0.5B-Instruct', 494_032_768],
      ['meta-llama/Llama-3.2-1B-Instruct', 1_235_814_400],
      ['Qwen/Qwen2.5-1.5B-Instruct', 1_543_714_304],
      ['meta-llama/Llama-3.2-3B-Instruct', 3_212_749_824],
      ['Qwen/Qwen2.5-7B-Instruct', 7_615_616_512],
      ['meta-llama/Llama-3.1-8B-Instruct', 8_030_261_248],
      ['Qwen/Qwen2.5-14B-Instruct', 14_770_033_664],
    ]);
  });

  it('fit or not by type and free memory, the larger ones only in fewer bits', () => {
    const fitsIn = (available: number, name: string) => {
      const found = commonSizes(machine(available)).find(({ model }) => model.includes(name));
      return Object.fromEntries(
        found!.memory.types.map(({ base_dtype, fit }) => [base_dtype, fit]),
      );
    };
    expect(fitsIn(12e9, '0.5B')).toEqual({
      float32: 'fits',
      bfloat16: 'fits',
      int8: 'fits',
      nf4: 'fits',
    });
    expect(fitsIn(12e9, 'Qwen2.5-7B')).toEqual({
      float32: 'exceeds',
      bfloat16: 'exceeds',
      int8: 'recomputed',
      nf4: 'recomputed',
    });
    expect(new Set(Object.values(fitsIn(12e9, '14B')))).toEqual(new Set(['exceeds']));
    expect(fitsIn(24e9, '14B')).toMatchObject({ int8: 'recomputed', nf4: 'recomputed' });
  });

  it('have no quantized types where the kernels are missing', () => {
    const [first] = commonSizes({ ...machine(0), hasKernels: false });
    const types = first!.memory.types.map(({ base_dtype }) => base_dtype);
    expect(types).toEqual(['float32', 'bfloat16']);
    expect(first!.files).toEqual([]);
  });

  it('need less in .gguf files of fewer bits, by what their blocks take', () => {
    const sizes = commonSizes(machine(10e9));
    for (const { model, parameters, memory, files } of sizes) {
      const [q8, q4] = files;
      expect(files.map(({ type }) => type)).toEqual(['Q8_0', 'Q4_K']);
      const bf16 = memory.types.find(({ base_dtype }) => base_dtype === 'bfloat16')!;
      expect(q8!.recomputed_bytes, model).toBeLessThan(bf16.recomputed_bytes);
      // bits of a weight: 8.5 and 4.5, or 5.5 where a row is not whole blocks of 256
      const bits = (8 * (q8!.bytes - q4!.bytes)) / parameters;
      expect(bits, model).toBeGreaterThan(2.8);
      expect(bits, model).toBeLessThan(4.2);
    }
    const fits = Object.fromEntries(
      sizes.map(({ model, files }) => [model.replace(/.*\//, ''), files.map(({ fit }) => fit)]),
    );
    expect(fits['Qwen2.5-7B-Instruct']).toEqual(['exceeds', 'recomputed']);
    expect(fits['Qwen2.5-14B-Instruct']).toEqual(['exceeds', 'exceeds']);
  });
});
