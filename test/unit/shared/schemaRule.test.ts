import * as v from 'valibot';
import { expect, it } from 'vitest';
import { ruleOf } from '../../../src/shared/schemaRule';

it.each<[v.GenericSchema, unknown, string]>([
  [v.number(), 'x', 'must be a number'],
  [v.string(), 1, 'must be a text'],
  [v.boolean(), 1, 'must be true or false'],
  [v.array(v.string()), 1, 'must be a list'],
  [v.object({}), 1, 'must be an object'],
  [v.nullable(v.string()), 1, 'must be a text or null'],
  [v.union([v.number(), v.string()]), true, 'must be a number or a text'],
  [v.picklist(['a', 'b', 'c']), 1, 'must be "a", "b" or "c"'],
  [v.literal(1), 2, 'must be 1'],
  [v.pipe(v.number(), v.minValue(3)), 1, 'must be at least 3'],
  [v.pipe(v.number(), v.maxValue(3)), 4, 'must be at most 3'],
  [v.pipe(v.string(), v.minLength(1)), '', 'must not be empty'],
  [v.number('must be a rank'), '', 'must be a rank'],
])('a schema says what it demands (%#)', (schema, value, rule) => {
  expect(ruleOf(v.safeParse(schema, value).issues![0])).toBe(rule);
});
