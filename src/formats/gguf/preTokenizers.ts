/** How a byte-level BPE tokenizer splits text before it applies the merges. */
export interface PreTokenizer {
  /**
   * Regular expressions, applied in turn: each splits the pieces of the previous into matches and
   * the text between.
   */
  readonly splits: readonly string[];
  /** A piece that is a token is not split, whatever the merges say. */
  readonly ignore_merges: boolean;
  /** Whether texts start with bos, when the file doesn't say. */
  readonly add_bos: boolean;
  /** Whether text is normalised to NFC. */
  readonly nfc: boolean;
}

const plain = (...splits: string[]): PreTokenizer => ({
  splits,
  ignore_merges: false,
  add_bos: false,
  nfc: false,
});

const CONTRACTIONS = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const WORD = `[^\\r\\n\\p{L}\\p{N}]?\\p{L}+`;
const SIGNS = ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*`;
const SPACE = `\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const EDGE = '[^\\r\\n\\p{L}\\p{N}]?';

const GPT2_WORDS = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;
const GPT2 = plain(GPT2_WORDS);
const DIGITS_GPT2 = plain('\\p{N}', GPT2_WORDS);
const LLAMA3_WORDS = plain([CONTRACTIONS, WORD, '\\p{N}{1,3}', SIGNS, SPACE].join('|'));
const LLAMA3: PreTokenizer = { ...LLAMA3_WORDS, ignore_merges: true, add_bos: true };
const QWEN2 = plain([CONTRACTIONS, WORD, '\\p{N}', SIGNS, SPACE].join('|'));
/** As Qwen 2, with marks as parts of words. */
const QWEN35 = plain(
  [
    CONTRACTIONS,
    `[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+`,
    '\\p{N}',
    ' ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*',
    SPACE,
  ].join('|'),
);
const TEKKEN: PreTokenizer = {
  ...plain(
    [
      `${EDGE}${UPPER}*${LOWER}+`,
      `${EDGE}${UPPER}+${LOWER}*`,
      '\\p{N}',
      ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
      SPACE,
    ].join('|'),
  ),
  ignore_merges: true,
  add_bos: true,
};

/** o200k: as Tekken, with contractions at the end of a word, and up to three digits together. */
const GPT4O = plain(
  [
    `${EDGE}${UPPER}*${LOWER}+${CONTRACTIONS}?`,
    `${EDGE}${UPPER}+${LOWER}*${CONTRACTIONS}?`,
    '\\p{N}{1,3}',
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
    SPACE,
  ].join('|'),
);

/**
 * By tokenizer.ggml.pre: the pre-tokenizers of the supported architectures. Source: llama-vocab.cpp
 * of llama.cpp; where its expression differs from that of the original tokenizer.json, which it
 * quotes, the original. NFC, which llama.cpp leaves out, is as in the original too.
 */
export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['default', plain('[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2_WORDS, '\\p{N}+', '[0-9][0-9][0-9]')],
  ...(['gpt-2', 'phi-2', 'a.x-4.0', 'mellum', 'trillion'] as const).map(
    (name) => [name, GPT2] as const,
  ),
  ...(['smollm', 'starcoder', 'refact', 'codeshell', 'minerva-7b', 'mellum2'] as const).map(
    (name) => [name, DIGITS_GPT2] as const,
  ),
  ...(['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'midm-2.0'] as const).map(
    (name) => [name, LLAMA3] as const,
  ),
  ...(['smaug-bpe', 'dbrx'] as const).map((name) => [name, LLAMA3_WORDS] as const),
  ...(['roberta-bpe', 'jina-v1-en', 'jina-v2-code'] as const).map((name) => [name, GPT2] as const),
  ...(['olmo', 'modern-bert'] as const).map((name) => [name, { ...GPT2, nfc: true }] as const),
  ['gpt-4o', GPT4O],
  ['qwen2', { ...QWEN2, nfc: true }],
  ['qwen35', { ...QWEN35, nfc: true }],
  ...(['deepseek-r1-qwen', 'megrez', 'kormo'] as const).map((name) => [name, QWEN2] as const),
  ['tekken', TEKKEN],
  [
    'seed-coder',
    plain([CONTRACTIONS, WORD, '\\p{N}', ' ?[^\\s\\p{L}\\p{N}\\r\\n]+', SPACE].join('|')),
  ],
  [
    'minicpm5',
    {
      ...plain('\\p{N}{1,3}', [CONTRACTIONS, WORD, '\\p{N}+', SIGNS, SPACE].join('|')),
      ignore_merges: true,
    },
  ],
  [
    'deepseek-coder',
    plain('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-\\uD7FF]+', '\\p{N}'),
  ],
  ['viking', plain(' ?[^(\\s|.,!?…。，、।۔،)]+', '\\p{N}')],
]);
