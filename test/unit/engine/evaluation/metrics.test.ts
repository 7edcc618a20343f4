import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bleuOf, bleuStatistics } from '../../../../src/engine/evaluation/metrics/bleu';
import { chrfOf, chrfStatistics } from '../../../../src/engine/evaluation/metrics/chrf';
import { schemaTest } from '../../../../src/engine/evaluation/metrics/jsonSchema';
import { rougeL } from '../../../../src/engine/evaluation/metrics/rougeL';

interface Reference {
  readonly texts: {
    readonly rows: readonly {
      readonly answer: string;
      readonly references: readonly string[];
      readonly bleu: number;
      readonly chrf: number;
      readonly rouge_l: number;
    }[];
    readonly bleu: number;
    readonly chrf: number;
  };
  readonly values: readonly unknown[];
  readonly schemas: readonly { readonly schema: unknown; readonly valid: readonly boolean[] }[];
}

const { texts, values, schemas } = JSON.parse(
  readFileSync('test/fixtures/evaluation.json', 'utf8'),
) as Reference;

const added = (rows: readonly (readonly number[])[]): number[] =>
  rows.reduce<number[]>((sum, row) => row.map((x, i) => x + (sum[i] ?? 0)), []);

describe('metrics of texts', () => {
  it.each(texts.rows)('of "$answer"', ({ answer, references, bleu, chrf, rouge_l }) => {
    expect(bleuOf(bleuStatistics(answer, references), true)).toBeCloseTo(bleu, 9);
    expect(chrfOf(chrfStatistics(answer, references))).toBeCloseTo(chrf, 9);
    expect(rougeL(answer, references)).toBeCloseTo(rouge_l, 9);
  });

  it('of all rows together', () => {
    const of = (count: typeof bleuStatistics) =>
      added(texts.rows.map(({ answer, references }) => count(answer, references)));
    expect(bleuOf(of(bleuStatistics))).toBeCloseTo(texts.bleu, 9);
    expect(chrfOf(of(chrfStatistics))).toBeCloseTo(texts.chrf, 9);
  });
});

describe('JSON schemas', () => {
  it.each(schemas)('fit what jsonschema says: $schema', ({ schema, valid }) => {
    const test = schemaTest(schema);
    expect(values.map((value) => test(value) === null)).toEqual(valid);
  });

  it.each([
    [{ unevaluatedProperties: false }, 'unevaluatedProperties'],
    [{ $ref: 'https://example.com/schema' }, 'something outside it'],
    [{ $ref: '#/$defs/missing' }, 'has no part'],
    [{ type: 'text' }, '"type"'],
    [{ pattern: '(?=a)' }, 'RE2'],
    [{ anyOf: {} }, '"anyOf"'],
  ])('are refused: %j', (schema, reason) => {
    expect(() => schemaTest(schema)).toThrow(reason);
  });

  it('know items that are equal, in one pass', () => {
    const test = schemaTest({ uniqueItems: true });
    const ofPair = (pair: readonly unknown[]) => test(pair);
    const object = { a: 1, b: [2] };
    for (const equal of [
      [1, 1],
      [0, -0],
      [object, { b: [2], a: 1 }],
      [['a'], ['a']],
    ])
      expect(ofPair(equal)).toBe('the answer has an item twice');
    const others = [
      [1, '1'],
      [null, 'null'],
      [0, false],
      [[1, 2], ['1,2']],
      [null, Infinity],
      [{}, []],
    ];
    for (const other of others) expect(ofPair(other)).toBeNull();
    expect(test(Array.from({ length: 40_000 }, (_, i) => i))).toBeNull();
  });

  it.each([
    { $ref: '#' },
    {
      $defs: Object.fromEntries(
        Array.from({ length: 40 }, (_, i) => {
          const next = { $ref: `#/$defs/${i + 1}` };
          return [i, i === 39 ? false : { anyOf: [next, next] }];
        }),
      ),
      $ref: '#/$defs/0',
    },
  ])('end where references lead to themselves or multiply', (schema) => {
    expect(schemaTest(schema)(1)).toBe('the answer or the schema nests too deeply');
  });
});
