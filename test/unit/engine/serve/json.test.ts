import { describe, expect, it } from 'vitest';
import { Grammar, type GrammarState } from '../../../../src/engine/serve/json/grammar';
import { anyObject } from '../../../../src/engine/serve/json/jsonRules';
import { schemaRule } from '../../../../src/engine/serve/json/schemaGrammar';
import { TokenMask } from '../../../../src/engine/serve/json/tokenMask';
import { createRandom } from '../../../../src/shared/random';
import { smallTokenizer } from '../../../support/datasets';

/** 'whole', 'part' of a text, or 'no' text of the grammar. */
function judge(grammar: Grammar, text: string): 'whole' | 'part' | 'no' {
  let state: GrammarState = grammar.start;
  for (const char of text) state = state.after(char);
  if (state.canEnd) return 'whole';
  return state.isDead ? 'no' : 'part';
}
const of = (schema: unknown) => new Grammar(schemaRule(schema));

it.each([
  ['{}', 'whole'],
  ['{"a": [1, -2.5e+3, "x\\n\\u00e9", null, {"b": true}]}', 'whole'],
  ['{\n  "a": {\n    "b": []\n  }\n}', 'whole'],
  ['{"a": "Grüße 世界"}', 'whole'],
  ['{"a": 1', 'part'],
  ['{"a": 01}', 'no'],
  ['{"a": 1,}', 'no'],
  ['[1]', 'no'],
  ['{"a": "\n"}', 'no'],
  ['{} ', 'no'],
] as const)('any object: %j is %s', (text, want) => {
  expect(judge(new Grammar(anyObject), text)).toBe(want);
  if (want === 'whole') JSON.parse(text);
});

describe('a schema', () => {
  const person = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 5 },
      age: { type: ['integer', 'null'] },
      tags: { type: 'array', items: { enum: ['a', 'b c', 3] }, minItems: 1, maxItems: 2 },
    },
    required: ['name', 'tags'],
    additionalProperties: false,
  };
  it.each([
    [person, '{"name": "Ann", "age": 3, "tags": ["a"]}', 'whole'],
    [person, '{"name": "Ann", "tags": ["b c", 3]}', 'whole'],
    [person, '{"name": "Ann", "age": null, "tags": ["a"]}', 'whole'],
    [person, '{"name": "Ann", "age": 3}', 'no'],
    [person, '{"name": "Annabel', 'no'],
    [person, '{"name": "Ann", "tags": []}', 'no'],
    [person, '{"name": "Ann", "tags": ["a", "a", "a"]}', 'no'],
    [person, '{"age": 3', 'no'],
    [person, '{"name": "Ann", "tags": ["a"], "x"', 'no'],
    [{ anyOf: [{ type: 'boolean' }, { const: { a: 1 } }] }, '{"a":1}', 'whole'],
    [{ type: 'object', properties: { a: { type: 'null' } } }, '{}', 'whole'],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, '{"x": 1, "y": 2}', 'whole'],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, '{"x": "', 'no'],
    [{ type: 'string', minLength: 2 }, '"a"', 'no'],
    [{}, '[1, {"a": 2}]', 'whole'],
  ] as const)('%j: %s is %s', (schema, text, want) => {
    expect(judge(of(schema), text)).toBe(want);
  });

  it('may contain itself', () => {
    const tree = {
      $defs: {
        node: {
          type: 'object',
          properties: {
            value: { type: 'integer' },
            children: { type: 'array', items: { $ref: '#/$defs/node' } },
          },
          required: ['value', 'children'],
        },
      },
      $ref: '#/$defs/node',
    };
    expect(judge(of(tree), '{"value":1,"children":[{"value":2,"children":[]}]}')).toBe('whole');
    expect(judge(of(tree), '{"value":1,"children":[{"value":2}')).toBe('no');
  });

  it.each([
    [{ type: 'string', pattern: 'x' }, '#/pattern is not supported'],
    [
      { type: 'object', properties: { a: { type: 'number', minimum: 1 } } },
      '#/properties/a/minimum',
    ],
    [{ oneOf: [] }, '#/oneOf'],
    [{ type: 'array', maxItems: 1e9 }, 'maxItems'],
    [{ type: 'thing' }, '#/type'],
    [{ type: ['null', 'null'] }, 'a type twice'],
    [{ $ref: 'http://x' }, '#/$ref'],
    [{ $ref: '#/$defs/x' }, 'names nothing'],
    [{ $ref: '#' }, 'leads to itself'],
    [{ $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' }, 'leads to itself'],
    [
      {
        type: 'object',
        properties: { y: { $ref: '#/$defs/a' } },
        $defs: {
          a: { anyOf: [{ type: 'array', items: { $ref: '#/$defs/b' } }, { $ref: '#/$defs/b' }] },
          b: { anyOf: [{ $ref: '#/$defs/a' }, { type: 'null' }] },
        },
      },
      'leads to itself',
    ],
    [{ type: 'object', required: ['a'] }, '#/required'],
    ['x', 'must be a schema'],
  ])('%j is refused by name', (schema, message) => {
    expect(() => schemaRule(schema)).toThrow(message);
  });
});

describe('tokens', () => {
  const tokenizer = smallTokenizer();

  it.each([
    {
      type: 'object',
      properties: { name: { type: 'string', maxLength: 8 }, n: { type: 'integer' } },
      required: ['name', 'n'],
    },
    { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 3 },
    { enum: ['yes', 'no', 'perhaps so'] },
  ])('that are drawn at random make a text that fits: %j', (schema) => {
    for (let seed = 0; seed < 20; seed++) {
      const random = createRandom(seed, 'json');
      const mask = new TokenMask(tokenizer, of(schema).start);
      const ids: number[] = [];
      for (;;) {
        const allowed = mask.allowed();
        const ends = mask.canEnd && (allowed.length === 0 || random() < 0.5);
        if (ends) break;
        const id = allowed[Math.floor(random() * allowed.length)]!;
        ids.push(id);
        mask.push(id);
      }
      const text = tokenizer.decode(ids, true);
      expect(judge(of(schema), text), text).toBe('whole');
      JSON.parse(text);
    }
  });

  it('are allowed exactly where their text is', () => {
    const grammar = of({ enum: ['the old mill', 'then'] });
    const mask = new TokenMask(tokenizer, grammar.start);
    const texts = [...mask.allowed()].map((id) => tokenizer.decode([id], true));
    for (let id = 0; id < tokenizer.vocab_size; id++) {
      const text = tokenizer.decode([id], true);
      const isSpecial = [...tokenizer.added_tokens.values()].includes(id);
      if (text === '' || isSpecial || text.includes('\ufffd')) continue;
      expect(texts.includes(text), text).toBe(judge(grammar, text) !== 'no');
    }
    expect(mask.canEnd).toBe(false);
  });
});
