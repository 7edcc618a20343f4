import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { checkLimits } from '../../../../src/data/tokenizer/limits';
import { PRE_TOKENIZERS } from '../../../../src/formats/gguf/preTokenizers';
import { LoraError } from '../../../../src/shared/errors';

const source = 'tokenizer.json';
const BPE = { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] };
const tokenizerOf = (parts: object) => {
  const tokenizer = { model: BPE, ...parts };
  return createTokenizer({ tokenizer, config: {}, chat_template: null, source });
};
const replace = (pattern: object, content: string) => ({ type: 'Replace', pattern, content });
const doubling = replace({ String: 'a' }, 'aa');
const backtracking = { Regex: '(a+)+$' };
const attack = `${'a'.repeat(40)}b`;

function refusalOf(work: () => unknown): LoraError {
  try {
    work();
  } catch (error) {
    if (error instanceof LoraError) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

describe('the budget of a tokenizer', () => {
  it.each([
    ['normalizer', { normalizer: replace(backtracking, 'x') }],
    [
      'pre-tokenizer',
      { pre_tokenizer: { type: 'Split', pattern: backtracking, behavior: 'Isolated' } },
    ],
  ])('ends a regular expression of a %s that backtracks without end', (_, parts) => {
    const tokenizer = tokenizerOf(parts);
    expect(tokenizer.encode('ab')).toBeDefined();
    const start = performance.now();
    const error = refusalOf(() => tokenizer.encode(attack));
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(error.message).toContain('regular expression');
    expect(error.place?.file).toBe(source);
  });

  it('ends a regular expression of a decoder that backtracks without end', () => {
    const tokenizer = tokenizerOf({
      model: { ...BPE, vocab: { [attack]: 0 } },
      decoder: replace(backtracking, 'x'),
    });
    expect(refusalOf(() => tokenizer.decode([0])).message).toContain('regular expression');
  });

  it('refuses a normalizer that doubles a text again and again, and names the step', () => {
    const normalizers = Array.from({ length: 27 }, () => doubling);
    const tokenizer = tokenizerOf({ normalizer: { type: 'Sequence', normalizers } });
    const error = refusalOf(() => tokenizer.encode('a'));
    expect(error.place?.key).toBe('normalizer.normalizers.20');
    expect(tokenizer.encode('b')).toEqual([1]);
  });

  it('refuses an added token that a normalizer makes too long, before it is loaded', () => {
    const normalizers = Array.from({ length: 27 }, () => doubling);
    const added_tokens = [{ id: 5, content: 'a', special: false, normalized: true }];
    const error = refusalOf(() =>
      tokenizerOf({ normalizer: { type: 'Sequence', normalizers }, added_tokens }),
    );
    expect(error.message).toContain('too long');
  });

  it('refuses pre-tokenizers and decoders that make texts too long', () => {
    const pretokenizers = Array.from({ length: 30 }, () => ({
      type: 'ByteLevel',
      use_regex: false,
    }));
    const before = tokenizerOf({ pre_tokenizer: { type: 'Sequence', pretokenizers } });
    expect(refusalOf(() => before.encode('é')).message).toContain('too long');
    const decoders = Array.from({ length: 30 }, () => doubling);
    const after = tokenizerOf({ decoder: { type: 'Sequence', decoders } });
    expect(refusalOf(() => after.decode([0])).message).toContain('too long');
  });

  const nested = (depth: number): object =>
    depth === 0 ? doubling : { type: 'Sequence', normalizers: [nested(depth - 1)] };
  const many = (count: number) => Array.from({ length: count }, (_, i) => [`t${i}`, 0]);

  it.each<[string, object]>([
    ['pre_tokenizer.length', { pre_tokenizer: { type: 'FixedLength', length: 0 } }],
    ['pre_tokenizer.length', { pre_tokenizer: { type: 'FixedLength', length: -1 } }],
    ['pre_tokenizer.length', { pre_tokenizer: { type: 'FixedLength' } }],
    ['normalizer', { normalizer: nested(2_000) }],
    ['normalizer', { normalizer: { type: 'Sequence', normalizers: Array(500).fill(doubling) } }],
    ['normalizer.content', { normalizer: replace({ String: 'a' }, 'a'.repeat(1_000)) }],
    [
      'post_processor.single',
      {
        post_processor: {
          type: 'TemplateProcessing',
          single: Array(10_000).fill({ SpecialToken: { id: 'a', type_id: 0 } }),
        },
      },
    ],
    ['model.vocab', { model: { ...BPE, vocab: { a: 1e9 } } }],
    ['model.vocab', { model: { type: 'Unigram', vocab: many((1 << 21) + 1), unk_id: 0 } }],
    ['model.merges', { model: { ...BPE, merges: Array((1 << 22) + 1).fill('a b') } }],
    ['added_tokens', { added_tokens: [{ id: 1e9, content: 'x' }] }],
    ['added_tokens', { added_tokens: [{ id: 3, content: 'x'.repeat(100_000) }] }],
    ['model.max_input_chars_per_word', { model: { ...BPE, max_input_chars_per_word: 1e9 } }],
  ])('refuses a tokenizer beyond the limits, naming %s', (key, parts) => {
    const error = refusalOf(() => tokenizerOf(parts));
    expect(error.place).toEqual({ file: source, key });
  });

  it('finds the tokens of Unigram that are long and many in time', () => {
    const pieces = Array.from({ length: 255 }, (_, i) => ['a'.repeat(i + 1), -i]);
    const vocab = [['<unk>', 0], ...pieces];
    const tokenizer = tokenizerOf({ model: { type: 'Unigram', vocab, unk_id: 0 } });
    expect(tokenizer.encode('a'.repeat(6_000))).toEqual(Array(6_000).fill(1));
  });

  it('gives published tokenizers no deadline', () => {
    const fixture = path.resolve(import.meta.dirname, '../../../fixtures/tokenizer/tokenizer.json');
    const json = JSON.parse(readFileSync(fixture, 'utf8')) as Record<string, unknown>;
    expect(checkLimits(json, source)).toEqual({ needsDeadline: false });
    const splits = [...PRE_TOKENIZERS.values()].flatMap((own) => own.splits);
    for (const Regex of [...splits, '\\p{N}{1,3}', ' {2,}', '\\s+', '[^\\s]+'])
      expect([
        Regex,
        checkLimits({ pre_tokenizer: { type: 'Split', pattern: { Regex } } }, source).needsDeadline,
      ]).toEqual([Regex, false]);
  });
});
