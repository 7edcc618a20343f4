import { RE2JS } from 're2js';
import { sameJson } from '../../../data/chat/calls/sameJson';
import { isObject } from '../../../shared/values';
import { hasTwice } from './hasTwice';
import { allOf, UnsupportedSchema, type Build, type Schema, type Test } from './schemaTests';

/** Keywords that say something about values without limiting them. */
export const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  ...['$schema', '$id', '$comment', '$defs', 'definitions', 'title', 'description', 'default'],
  ...['examples', 'deprecated', 'readOnly', 'writeOnly', 'format'],
]);

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

/** A keyword whose value is a number, about values of which another number is measured. */
const limit =
  (
    measure: (value: unknown) => number | null,
    rule: string,
    isRight: (measured: number, given: number) => boolean,
  ): Build =>
  (given) => {
    if (typeof given !== 'number') throw wrongValue(rule);
    return (value, place) => {
      const measured = measure(value);
      return measured === null || isRight(measured, given) ? null : `${place} ${rule} ${given}`;
    };
  };

const wrongValue = (keyword: string) => new UnsupportedSchema(`has a wrong value: "${keyword}"`);
const asNumber = (value: unknown) => (typeof value === 'number' ? value : null);
const lengthOf = (value: unknown) => (typeof value === 'string' ? Array.from(value).length : null);
const itemsIn = (value: unknown) => (Array.isArray(value) ? value.length : null);
const keysIn = (value: unknown) => (isObject(value) ? Object.keys(value).length : null);
const atLeast = (a: number, b: number) => a >= b;
const atMost = (a: number, b: number) => a <= b;

function listOf(given: unknown, keyword: string): readonly unknown[] {
  if (!Array.isArray(given)) throw wrongValue(keyword);
  return given;
}

function objectOf(given: unknown, keyword: string): Schema {
  if (!isObject(given)) throw wrongValue(keyword);
  return given;
}

const testsOf = (given: unknown, keyword: string, compile: (schema: unknown) => Test) =>
  listOf(given, keyword).map((schema) => compile(schema));

const fitting = (tests: readonly Test[], value: unknown, place: string): number =>
  tests.filter((test) => test(value, place) === null).length;

function patternOf(given: unknown): RE2JS {
  if (typeof given !== 'string') throw wrongValue('pattern');
  try {
    return RE2JS.compile(given);
  } catch {
    throw new UnsupportedSchema(`has a pattern that RE2 does not know: ${given}`);
  }
}

/** The tests for each entry of an object. */
const entries = (testOf: (key: string) => Test | null): Test => {
  const test = (value: unknown, place: string): string | null => {
    if (!isObject(value)) return null;
    for (const [key, item] of Object.entries(value)) {
      const fault = testOf(key)?.(item, `${place}.${key}`) ?? null;
      if (fault !== null) return fault;
    }
    return null;
  };
  return test;
};

/** Whether "properties" or "patternProperties" name a key. */
function namedIn({ properties, patternProperties }: Schema): (key: string) => boolean {
  const patterns = isObject(patternProperties) ? Object.keys(patternProperties) : [];
  const compiled = patterns.map(patternOf);
  return (key) =>
    (isObject(properties) && Object.hasOwn(properties, key)) ||
    compiled.some((pattern) => pattern.matcher(key).find());
}

const STRUCTURE: Readonly<Record<string, Build>> = {
  $ref: (given, _, compiler) => compiler.reference(given),
  allOf: (given, _, compiler) => allOf(testsOf(given, 'allOf', (own) => compiler.compile(own))),
  anyOf: (given, _, compiler) => {
    const tests = testsOf(given, 'anyOf', (own) => compiler.compile(own));
    return (value, place) =>
      fitting(tests, value, place) > 0 ? null : `${place} fits none of the schemas in anyOf`;
  },
  oneOf: (given, _, compiler) => {
    const tests = testsOf(given, 'oneOf', (own) => compiler.compile(own));
    return (value, place) =>
      fitting(tests, value, place) === 1 ? null : `${place} does not fit exactly one of oneOf`;
  },
  not: (given, _, compiler) => {
    const test = compiler.compile(given);
    return (value, place) =>
      test(value, place) === null ? `${place} fits the schema in not` : null;
  },
  properties: (given, _, compiler) => {
    const tests = new Map(
      Object.entries(objectOf(given, 'properties')).map(([key, own]) => [
        key,
        compiler.compile(own),
      ]),
    );
    return entries((key) => tests.get(key) ?? null);
  },
  patternProperties: (given, _, compiler) => {
    const tests = Object.entries(objectOf(given, 'patternProperties')).map(
      ([key, own]) => [patternOf(key), compiler.compile(own)] as const,
    );
    return entries((key) =>
      allOf(tests.filter(([pattern]) => pattern.matcher(key).find()).map(([, test]) => test)),
    );
  },
  additionalProperties: (given, schema, compiler) => {
    const test = compiler.compile(given);
    const isNamed = namedIn(schema);
    return entries((key) => (isNamed(key) ? null : test));
  },
  items: (given, schema, compiler) => {
    const test = compiler.compile(given);
    const prefix = schema['prefixItems'];
    const first = Array.isArray(prefix) ? prefix.length : 0;
    return items((at) => (at < first ? null : test));
  },
  prefixItems: (given, _, compiler) => {
    const tests = testsOf(given, 'prefixItems', (own) => compiler.compile(own));
    return items((at) => tests[at] ?? null);
  },
};

const items =
  (testOf: (at: number) => Test | null): Test =>
  (value, place) => {
    if (!Array.isArray(value)) return null;
    for (const [at, item] of value.entries()) {
      const fault = testOf(at)?.(item, `${place}[${at}]`) ?? null;
      if (fault !== null) return fault;
    }
    return null;
  };

const isMultiple = (value: number, of: number): boolean => {
  const times = value / of;
  return Math.abs(times - Math.round(times)) <= 1e-9 * Math.max(1, Math.abs(times));
};

/** The keywords that limit values. */
export const KEYWORDS: Readonly<Record<string, Build>> = {
  ...STRUCTURE,
  type: (given) => {
    const names = [given].flat();
    const tests = names.map((name) => {
      const test = typeof name === 'string' && Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
      if (!test) throw wrongValue('type');
      return test;
    });
    return (value, place) =>
      tests.some((test) => test(value))
        ? null
        : `${place} is not of the type ${names.join(' or ')}`;
  },
  enum: (given) => {
    const values = listOf(given, 'enum');
    return (value, place) =>
      values.some((own) => sameJson(own, value)) ? null : `${place} is none of the listed values`;
  },
  const: (given) => (value, place) =>
    sameJson(given, value) ? null : `${place} is not ${JSON.stringify(given)}`,
  required: (given) => {
    const keys = listOf(given, 'required').map(String);
    return (value, place) => {
      const missing = isObject(value) && keys.find((key) => !Object.hasOwn(value, key));
      return typeof missing === 'string' ? `${place} has no "${missing}"` : null;
    };
  },
  pattern: (given) => {
    const pattern = patternOf(given);
    return (value, place) =>
      typeof value !== 'string' || pattern.matcher(value).find()
        ? null
        : `${place} does not match ${String(given)}`;
  },
  uniqueItems: (given) => (value, place) =>
    given === true && Array.isArray(value) && hasTwice(value) ? `${place} has an item twice` : null,
  minimum: limit(asNumber, 'is below', atLeast),
  maximum: limit(asNumber, 'is above', atMost),
  exclusiveMinimum: limit(asNumber, 'is not above', (a, b) => a > b),
  exclusiveMaximum: limit(asNumber, 'is not below', (a, b) => a < b),
  multipleOf: limit(asNumber, 'is no multiple of', isMultiple),
  minLength: limit(lengthOf, 'has a length below', atLeast),
  maxLength: limit(lengthOf, 'has a length above', atMost),
  minItems: limit(itemsIn, 'has a number of items below', atLeast),
  maxItems: limit(itemsIn, 'has a number of items above', atMost),
  minProperties: limit(keysIn, 'has a number of keys below', atLeast),
  maxProperties: limit(keysIn, 'has a number of keys above', atMost),
};
