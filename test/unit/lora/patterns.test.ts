import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactPattern, type PatternEntry } from '../../../src/lora/exactPattern';
import { patternValue } from '../../../src/lora/patterns';

/** PEFT's rule (get_pattern_key): the first key of which `(.*\.)?(key)$` matches the path. */
function ofPeft(pattern: Readonly<Record<string, number>>, path: string, usual: number): number {
  const key = Object.keys(pattern).find((own) => new RegExp(`^(.*\\.)?(${own})$`).test(path));
  return key === undefined ? usual : pattern[key]!;
}

const part = fc.oneof(
  fc.constantFrom('q', 'conv_in', 'unet', '0', '1', 'a+b', 'c[0]', 'd$', '^e', 'f|q', '(g', 'h\\d'),
  fc.string({ minLength: 1, maxLength: 3, unit: 'grapheme-ascii' }),
);
const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'));
const modules = fc.uniqueArray(fc.tuple(path, fc.constantFrom(1, 2, 3)), {
  minLength: 1,
  maxLength: 12,
  selector: ([own]) => own,
});

const sortedByKey = (pattern: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(pattern).toSorted(([a], [b]) => (a < b ? -1 : 1)));

describe('an exact pattern', () => {
  it("gives each module exactly its value by PEFT's rule, also when PEFT sorts its keys", () => {
    fc.assert(
      fc.property(modules, fc.constantFrom(1, 2, 3), (entries, usual) => {
        const pattern = exactPattern(entries, usual);
        for (const own of [pattern, sortedByKey(pattern)]) {
          const read = entries.map(([name]): PatternEntry => [name, ofPeft(own, name, usual)]);
          expect(read).toEqual(entries);
          const here = entries.map(([name]) => patternValue(own, name, usual, 'rank_pattern'));
          expect(here).toEqual(entries.map(([, value]) => value));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('anchors only a path that is the end of another one', () => {
    const entries: readonly PatternEntry[] = [
      ['unet.conv_in', 4],
      ['conv_in', 8],
      ['a.q', 8],
    ];
    expect(exactPattern(entries, 4)).toEqual({ '^conv_in': 8, 'a\\.q': 8 });
  });
});
