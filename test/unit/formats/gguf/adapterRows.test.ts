import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readGgufAdapter } from '../../../../src/formats/gguf/adapter';
import { LoraError } from '../../../../src/shared/errors';
import { ggufBytes } from '../../../support/ggufWriter';
import { temp } from '../../../support/temp';

const VALUES = { key_heads: 2, value_heads: 4, value_dim: 4 };

async function refusal(arch: string, name: string, { rows, columns }: Record<string, number>) {
  const file = path.join(temp(), 'adapter.gguf');
  const factor = (part: string, shape: readonly number[]) => ({
    name: `${name}.lora_${part}`,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
  });
  writeFileSync(
    file,
    ggufBytes(
      [
        ['general.architecture', { text: arch }],
        ['general.type', { text: 'adapter' }],
        ['adapter.type', { text: 'lora' }],
        ['adapter.lora.alpha', { f32: 2 }],
      ],
      [factor('a', [2, columns ?? 0]), factor('b', [rows ?? 0, 2])],
    ),
  );
  const base = { head_dim: 4, values: VALUES, hasGates: true };
  const error: unknown = await readGgufAdapter(file, base).then(
    () => null,
    (own: unknown) => own,
  );
  expect(error).toBeInstanceOf(LoraError);
  const { area, message, place } = error as LoraError;
  expect(area).toBe('adapter');
  expect(place?.file).toBe(file);
  return { message, tensor: place?.tensor };
}

it('an adapter whose rows are no whole heads of the base is refused', async () => {
  expect(await refusal('llama', 'blk.0.attn_q.weight', { rows: 11, columns: 8 })).toEqual({
    message: 'The tensor has 11 rows, which are not those of heads of the base.',
    tensor: 'blk.0.attn_q.weight.lora_b',
  });
  expect(await refusal('qwen35', 'blk.0.attn_gate.weight', { rows: 8, columns: 8 })).toEqual({
    message: 'The tensor has 8 rows, which are not those of heads of the base.',
    tensor: 'blk.0.attn_gate.weight.lora_b',
  });
  expect(await refusal('qwen35', 'blk.0.ssm_out.weight', { rows: 8, columns: 8 })).toEqual({
    message: 'The tensor has 8 columns, which are not those of heads of the base.',
    tensor: 'blk.0.ssm_out.weight.lora_a',
  });
});
