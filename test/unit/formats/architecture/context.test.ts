import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { contextOf } from '../../../../src/formats/architecture/positions';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { fixtures } from '../../../support/models';

async function contextWith(family: string, further: object): Promise<number> {
  const file = path.join(fixtures, family, 'base', 'config.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  return contextOf(readSpec({ ...config, ...further }, file));
}

describe('the longest text of a model', () => {
  it.each([
    ['is what a config of rotary positions says', { max_position_embeddings: 2048 }, 2048],
    [
      'is longer by the factor of scaled positions',
      {
        max_position_embeddings: 2048,
        rope_scaling: { rope_type: 'dynamic', factor: 4 },
        rope_parameters: undefined,
      },
      8192,
    ],
    [
      'is that of the original positions by the factor',
      {
        max_position_embeddings: 4096,
        rope_scaling: {
          rope_type: 'yarn',
          factor: 4,
          original_max_position_embeddings: 4096,
        },
        rope_parameters: undefined,
      },
      16384,
    ],
    ['is not known without the key', { max_position_embeddings: undefined }, Infinity],
    ['is not known where it is too short for any use', { max_position_embeddings: 64 }, Infinity],
  ])('%s', async (_, further, want) => {
    expect(await contextWith('llama', further)).toBe(want);
  });

  it('is the number of learned positions', async () => {
    expect(await contextWith('bert', {})).toBe(32);
  });
});
