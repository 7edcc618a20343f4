import { describe, expect, it } from 'vitest';
import { tensorsOf } from '../../../../src/formats/architecture/modules';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { modelSize } from '../../../../src/formats/architecture/size';
import { elementsOf, type TensorInfo } from '../../../../src/formats/tensorInfo';

const config = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 40,
  tie_word_embeddings: true,
};
const spec = readSpec(config, 'config.json');
const { body, head } = tensorsOf(spec);
const shapes = new Map([...body, ...head].map(({ name, shape }) => [name, shape]));

/** A base whose matrices are in Q8_0, apart from those whose names end so. */
function modelOf(others: readonly string[], trained: readonly string[] = []) {
  const tensors = new Map(
    [...shapes].map(([name, shape]) => [name, { name, shape } as unknown as TensorInfo]),
  );
  const blocksOf = (name: string) => {
    const [, width] = shapes.get(name)!;
    const isOther = width === undefined || others.some((end) => name.endsWith(end));
    if (isOther) return null;
    return { type: 8, width, row_bytes: (34 * width) / 32, read: () => Promise.resolve() };
  };
  const weights = { tensors, blocksOf };
  return modelSize({ spec, parameters: 0, weights }, trained);
}

function sizeOf(others: readonly string[], trained: readonly string[] = []): number | null {
  const { quantized_bytes, dense_numbers = 0 } = modelOf(others, trained);
  return quantized_bytes === null ? null : quantized_bytes + 4 * dense_numbers;
}

const numbersOf = (end: string) =>
  elementsOf([...shapes].find(([name]) => name.endsWith(end))![1]) * (4 - 34 / 32);

describe('bytes of a base in blocks', () => {
  const all = sizeOf([])!;

  it('count a matrix without blocks whole', () => {
    expect(sizeOf(['down_proj.weight'])! - all).toBe(numbersOf('down_proj.weight'));
  });

  it('count q, k and v whole if one of them has no blocks, or trains: they are one product', () => {
    const product = ['q_proj.weight', 'k_proj.weight', 'v_proj.weight']
      .map(numbersOf)
      .reduce((a, b) => a + b);
    expect(sizeOf(['k_proj.weight'])! - all).toBe(product);
    expect(sizeOf([], ['model.layers.0.self_attn.v_proj.weight'])! - all).toBe(product);
  });

  it('are those of the output layer, too, if its weight is in blocks and does not train', () => {
    expect(modelOf([]).dense_head).toBe(false);
    expect(modelOf(['down_proj.weight']).dense_head).toBe(false);
    expect(modelOf(['embed_tokens.weight']).dense_head).toBe(true);
    expect(modelOf([], ['model.embed_tokens.weight']).dense_head).toBe(true);
    const { nf4, int8 } = modelSize({ spec, parameters: 0 }).quantizable!;
    expect([nf4.dense_head, int8.dense_head]).toEqual([true, true]);
  });

  it('are none without blocks', () => {
    expect(sizeOf(['weight'])).toBeNull();
  });

  it('are foretold of a base that can be quantized while it is loaded', () => {
    const { quantizable } = modelSize({ spec, parameters: 0 });
    const linears = [...shapes].filter(([name]) => name.includes('_proj'));
    const others = [...shapes].filter(
      ([name, shape]) => shape.length === 2 && !linears.some(([own]) => own === name),
    );
    const dense = others.reduce((sum, [, shape]) => sum + elementsOf(shape), 0);
    expect(quantizable!.nf4.dense_numbers).toBe(dense);
    expect(quantizable!.int8.dense_numbers).toBe(dense);
    const rowsOf = (bytesOf: (width: number) => number) =>
      linears.reduce(
        (sum, [, [rows, width]]) => sum + rows! * 4 * Math.ceil(bytesOf(width!) / 4),
        0,
      );
    const vectors = [...shapes]
      .filter(([, shape]) => shape.length === 1)
      .reduce((sum, [, shape]) => sum + 4 * elementsOf(shape), 0);
    // for each 64 numbers 33 bytes, for each row its place, the offset and one or two scales
    const nf4 = (width: number) => (width === 64 ? 12 : 16) + (33 * width) / 64;
    expect(quantizable!.nf4.quantized_bytes).toBe(rowsOf(nf4) + vectors);
    expect(quantizable!.int8.quantized_bytes).toBe(rowsOf((width) => 8 + width) + vectors);
  });
});
