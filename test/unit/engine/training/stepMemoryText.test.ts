import { expect, it } from 'vitest';
import {
  describeCommonSizes,
  describeStepMemory,
} from '../../../../src/engine/training/stepMemoryText';

it('says of each type what a step needs and whether it fits', () => {
  const lines = describeStepMemory({
    rows: 4,
    length: 512,
    available: 4e9,
    types: [
      { base_dtype: 'float32', bytes: 9e9, recomputed_bytes: 5e9, fit: 'exceeds' },
      { base_dtype: 'bfloat16', bytes: 5e9, recomputed_bytes: 3e9, fit: 'recomputed' },
      { base_dtype: 'quantized', bytes: 3e9, recomputed_bytes: 1e9, fit: 'fits' },
    ],
  });
  expect(lines).toEqual([
    'memory of a step with 4 rows of 512 tokens, of 4.0 GB free:',
    '  float32   9.0 GB, 5.0 GB with gradient checkpointing: does not fit',
    '  bfloat16  5.0 GB, 3.0 GB with gradient checkpointing: fits with gradient checkpointing',
    '  quantized 3.0 GB, 1.0 GB with gradient checkpointing: fits',
  ]);
});

it('has a line for each model and type', () => {
  const memory = {
    rows: 4,
    length: 512,
    available: 2e9,
    types: [{ base_dtype: 'nf4', bytes: 3e9, recomputed_bytes: 1e9, fit: 'recomputed' }],
  } as const;
  const [own] = memory.types;
  const file = { ...own, base_dtype: 'quantized', fit: 'fits', type: 'Q4_K' } as const;
  const size = { model: 'owner/model', parameters: 7.6e9, memory, files: [file] };
  const lines = describeCommonSizes([size], ', all');
  expect(lines).toEqual([
    expect.stringMatching(/^memory of a step with 4 rows of 512 tokens, all, of .* free:$/),
    'owner/model (7.6 B)',
    expect.stringMatching(/^ {2}nf4 {7}.*: fits with gradient checkpointing$/),
    expect.stringMatching(/^ {2}Q4_K {6}.*: fits$/),
  ]);
  expect(describeCommonSizes([])).toEqual([]);
});
