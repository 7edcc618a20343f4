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
  [v.pipe(v.number(), v.minValue(0)), -1, 'must be at least 0'],
  [v.pipe(v.number(), v.maxValue(1)), 2, 'must be at most 1'],
  [v.pipe(v.number(), v.gtValue(0)), 0, 'must be above 0'],
  [v.pipe(v.number(), v.ltValue(1)), 1, 'must be below 1'],
  [v.pipe(v.number(), v.integer()), 0.5, 'must be a whole number'],
  [v.pipe(v.number(), v.finite()), Infinity, 'must be a finite number'],
  [v.pipe(v.string(), v.minLength(1)), '', 'must not be empty'],
  [v.pipe(v.string(), v.nonEmpty()), '', 'must not be empty'],
  [v.pipe(v.array(v.number()), v.minLength(2)), [1], 'must have at least 2 parts'],
  [v.pipe(v.array(v.number()), v.maxLength(1)), [1, 2], 'must have at most 1 part'],
  [v.pipe(v.string(), v.regex(/^a$/)), 'b', 'does not have the right form'],
  [v.strictObject({}), { a: 1 }, 'must be left out'],
  [v.object({ a: v.string() }), {}, 'is missing'],
  [v.record(v.string(), v.string()), 1, 'must be an object'],
])('a schema says what it demands (%#)', (schema, value, rule) => {
  expect(ruleOf(v.safeParse(schema, value).issues![0])).toBe(rule);
});
