import { describe, expect, it } from 'vitest';
import { withoutTrailingCommas } from '../../../../src/host/data/rowRepairs';

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
