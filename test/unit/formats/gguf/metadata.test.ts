import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { LoraError } from '../../../../src/shared/errors';

const VALUES: Readonly<Record<string, GgufValue>> = {
  integer: 7,
  long: 2n ** 40n,
  epsilon: Math.fround(1e-5),
  infinite: Infinity,
  text: 'seven',
  yes: true,
  texts: ['a', 'b'],
  numbers: [1, 2],
  mixed: ['a', 2],
};
const metadata = new Metadata(new Map(Object.entries(VALUES)), 'a.gguf');

function expectBad(act: () => unknown, key: string, what: string): void {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(LoraError);
    expect(error).toMatchObject({
      area: 'base',
      message: `The GGUF file's metadata is not usable: ${key} ${what}.`,
      place: { file: 'a.gguf', key },
    });
    return;
  }
  throw new Error('It was accepted.');
}

describe('metadata', () => {
  it('returns typed values', () => {
    expect(metadata.has('integer')).toBe(true);
    expect(metadata.has('other')).toBe(false);
    expect(metadata.number('integer')).toBe(7);
    expect(metadata.number('long')).toBe(2 ** 40);
    expect(metadata.decimal('epsilon')).toBe(1e-5);
    expect(metadata.string('text')).toBe('seven');
    expect(metadata.boolean('yes', false)).toBe(true);
    expect(metadata.strings('texts')).toEqual(['a', 'b']);
    expect(metadata.numbers('numbers')).toEqual([1, 2]);
  });

  it('uses defaults only for missing keys', () => {
    expect(metadata.number('other', 3)).toBe(3);
    expect(metadata.number('integer', 3)).toBe(7);
    expect(metadata.decimal('other', 1e-6)).toBe(1e-6);
    expect(metadata.string('other', '')).toBe('');
    expect(metadata.boolean('other', true)).toBe(true);
    expectBad(() => metadata.number('text', 3), 'text', 'is not a number');
    expectBad(() => metadata.string('integer', ''), 'integer', 'is not a string');
    expectBad(() => metadata.boolean('integer', true), 'integer', 'is not true or false');
  });

  it('rejects missing keys and wrong types, naming the key', () => {
    expectBad(() => metadata.number('other'), 'other', 'is missing');
    expectBad(() => metadata.decimal('other'), 'other', 'is missing');
    expectBad(() => metadata.string('other'), 'other', 'is missing');
    expectBad(() => metadata.strings('other'), 'other', 'is missing');
    expectBad(() => metadata.numbers('other'), 'other', 'is missing');
    expectBad(() => metadata.number('infinite'), 'infinite', 'is not a number');
    expectBad(() => metadata.strings('text'), 'text', 'is not a list of strings');
    expectBad(() => metadata.strings('mixed'), 'mixed', 'is not a list of strings');
    expectBad(() => metadata.numbers('mixed'), 'mixed', 'is not a list of numbers');
    expectBad(() => metadata.numbers('integer'), 'integer', 'is not a list of numbers');
  });
});
