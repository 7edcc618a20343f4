import { describe, expect, it } from 'vitest';
import { codeRows } from '../../../../src/data/code/codeRows';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';
import { NO_LABEL } from '../../../../src/shared/task';

const FIM = ['<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<file_sep>'];
const EOS = 2;

/** A tokenizer of characters, with special tokens after them. */
function tokenizerWith(tokens: readonly string[]): Tokenizer {
  const added = new Map(tokens.map((token, i) => [token, 0x1_0000 + i]));
  return {
    special_tokens: added,
    added_tokens: added,
    eos_token_id: EOS,
    frame: { before: [1], between: [], after: [] },
    encode: (text: string) => Array.from(text, (character) => character.codePointAt(0)!),
  } as unknown as Tokenizer;
}

const textOf = (ids: readonly number[]) =>
  ids
    .filter((id) => id > EOS && id < 0x1_0000)
    .map((id) => String.fromCodePoint(id))
    .join('');

const lines = Array.from({ length: 60 }, (_, i) => `  line ${i} is here;`);
const file = { path: 'src/a.ts', text: `${lines.join('\n')}\n` };
const settings = { max_length: 300, seed: 1 };

describe('the rows of a file', () => {
  it('ask for middles, which alone are learned, with what stands around them', () => {
    const rows = codeRows(tokenizerWith(FIM), file, settings);
    expect(rows.length).toBeGreaterThan(3);
    const middles = new Set<string>();
    for (const row of rows) {
      if (!('input_ids' in row)) throw new Error('a text');
      const { input_ids, labels } = row;
      expect(input_ids.length).toBeLessThanOrEqual(300);
      const at = (token: number) => input_ids.indexOf(0x1_0000 + token);
      expect(textOf(input_ids.slice(0, at(0)))).toBe('src/a.ts\n');
      const first = labels.findIndex((label) => label !== NO_LABEL);
      expect(first).toBe(at(2) + 1);
      expect(labels.slice(first)).toEqual(input_ids.slice(first));
      expect(input_ids.at(-1)).toBe(EOS);
      const before = textOf(input_ids.slice(at(0), at(1)));
      const after = textOf(input_ids.slice(at(1), at(2)));
      const middle = textOf(input_ids.slice(first));
      middles.add(middle);
      expect(file.text).toContain(before + middle + after);
      expect(middle.trim()).not.toBe('');
      expect(after === '' || after.startsWith('\n')).toBe(true);
    }
    expect(middles.size).toBeGreaterThan(rows.length / 2);
    expect(codeRows(tokenizerWith(FIM), file, settings)).toEqual(rows);
    expect(codeRows(tokenizerWith(FIM), file, { ...settings, seed: 2 })).not.toEqual(rows);
  });

  it('are texts of whole lines where the base has no tokens for filling in', () => {
    const rows = codeRows(tokenizerWith([]), file, settings);
    const texts = rows.map((row) => ('text' in row ? row.text : ''));
    expect(texts.every((text) => text.startsWith('src/a.ts\n') && text.length <= 300)).toBe(true);
    expect(texts.map((text) => text.slice('src/a.ts\n'.length)).join('')).toBe(file.text);
  });

  it('name the file as a completion does: without special tokens, by its end', () => {
    const named = { path: `${'d/'.repeat(150)}a<|end|>.ts`, text: 'x\n' };
    const [row] = codeRows(tokenizerWith(['<|end|>']), named, { ...settings, max_length: 400 });
    expect(row).toEqual({ text: `/${'d/'.repeat(94)}a.ts\nx\n` });
  });

  it('leave out lines with special tokens and those that fit into no row', () => {
    const text = `a\nb <fim_middle> c\n${'x'.repeat(400)}\nd\n`;
    const rows = codeRows(tokenizerWith(FIM), { path: 'p', text }, settings);
    const all = rows.map((row) => ('input_ids' in row ? textOf(row.input_ids) : ''));
    expect(all.sort()).toEqual(['p\n\na', 'p\n\nd']);
    expect(codeRows(tokenizerWith([]), { path: 'p', text: ' \n\n' }, settings)).toEqual([]);
    expect(codeRows(tokenizerWith(FIM), file, { max_length: 8, seed: 1 })).toEqual([]);
  });
});
