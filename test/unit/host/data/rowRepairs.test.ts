import { describe, expect, it } from 'vitest';
import { withKeyRenamed, withoutTrailingCommas } from '../../../../src/host/data/rowRepairs';

describe('withKeyRenamed', () => {
  const renamed = (row: string) => withKeyRenamed(row, { key: 'promt', meant: 'prompt' });

  it('renames a key of the row, and no other text', () => {
    expect(renamed('{"promt": "promt", "completion" : {"promt": 1}}')).toBe(
      '{"prompt": "promt", "completion" : {"promt": 1}}',
    );
  });

  it.each([
    '{"prompt": "a", "promt": "b"}',
    '{"completion": {"promt": 1}}',
    '{"promt": 1,}',
    '["promt"]',
    '',
  ])('leaves %s', (row) => {
    expect(renamed(row)).toBeNull();
  });
});

describe('withoutTrailingCommas', () => {
  it.each([
    ['{"a": 1,}', '{"a": 1}'],
    ['{"a": [1, 2, ], "b": {"c": ",}" , } ,}', '{"a": [1, 2 ], "b": {"c": ",}"  } }'],
    ['{"text": "ends with a comma"},', '{"text": "ends with a comma"}'],
  ])('repairs %s', (row, repaired) => {
    expect(withoutTrailingCommas(row)).toBe(repaired);
  });

  it.each(['{"a": 1}', '{"a": ",}"}', '{"a": 1,,}', '{"a": 1, // b\n}', '{"a" 1,}', '', ','])(
    'leaves %s',
    (row) => {
      expect(withoutTrailingCommas(row)).toBeNull();
    },
  );
});
