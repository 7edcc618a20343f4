import * as v from 'valibot';
import { expect, it } from 'vitest';
import { ruleOf } from '../../../src/shared/schemaRule';

it.each<[v.GenericSchema, unknown, string]>([
  [v.number(), 'x', 'must be a number'],
  [v.string(), 1, 'must be a string'],
  [v.boolean(), 1, 'must be true or false'],
  [v.array(v.string()), 1, 'must be a list'],
  [v.object({}), 1, 'must be an object'],
  [v.nullable(v.string()), 1, 'must be a string'],
  [v.union([v.number(), v.string()]), true, 'must be a number or a string'],
  [v.picklist(['a', 'b', 'c']), 1, 'must be "a", "b" or "c"'],
  [v.literal(1), 2, 'must be 1'],
  [v.number('must be a rank'), '', 'must be a rank'],
])('a schema says what it demands (%#)', (schema, value, rule) => {
  expect(ruleOf(v.safeParse(schema, value).issues![0])).toBe(rule);
});
