import { LoraError } from '../../shared/errors';
import type { TokenizerFiles } from '../types';
import type { Metadata } from './metadata';

const CONTRACTIONS = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const REST = ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const BYTES = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const GPT2 = { ...BYTES, use_regex: true };
const DIGITS_THEN_GPT2 = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, GPT2] };
const pattern = (Regex: string) => ({ type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }, BYTES] });

interface PreTokenizer {
  readonly split: unknown;
  readonly ignore_merges?: boolean;
  readonly normalizer?: unknown;
}

const LLAMA3: PreTokenizer = { split: pattern(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`), ignore_merges: true };
const QWEN2: PreTokenizer = { split: pattern(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`), normalizer: { type: 'NFC' } };
const UPPER = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}';
const LOWER = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';
const TEKKEN: PreTokenizer = {
  split: pattern(`[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]*[${LOWER}]+|[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]+[${LOWER}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`),
  ignore_merges: true,
};

/** tokenizer.ggml.pre: how text is cut before the merges (llama.cpp, llama-vocab.cpp). */
const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': { split: GPT2 }, 'phi-2': { split: GPT2 },
  smollm: { split: DIGITS_THEN_GPT2 }, starcoder: { split: DIGITS_THEN_GPT2 }, refact: { split: DIGITS_THEN_GPT2 }, 'command-r': { split: DIGITS_THEN_GPT2 },
  'llama-bpe': LLAMA3, llama3: LLAMA3, 'llama-v3': LLAMA3, qwen2: QWEN2, 'deepseek-r1-qwen': QWEN2, tekken: TEKKEN,
};

/** tokenizer.json and tokenizer_config.json as the original checkpoint would have them. Errors: LoraError('tokenizer'). */
export function tokenizerOf(metadata: Metadata): TokenizerFiles {
  if (!metadata.has('tokenizer.ggml.model')) throw new LoraError('tokenizer', 'The GGUF file has no tokenizer.', { place: { file: metadata.file }, fix: 'Use a file that was converted with its tokenizer.' });
  const kind = metadata.string('tokenizer.ggml.model');
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const types = metadata.has('tokenizer.ggml.token_type') ? metadata.numbers('tokenizer.ggml.token_type') : [];
  const bos = metadata.has('tokenizer.ggml.bos_token_id') ? metadata.number('tokenizer.ggml.bos_token_id') : null;
  const parts = kind === 'gpt2' ? byteLevelBpe(metadata, tokens) : kind === 'llama' ? sentencePiece(metadata, tokens) : null;
  if (!parts) throw new LoraError('tokenizer', `Tokenizers of the kind "${kind}" are not supported in GGUF files, only gpt2 (BPE) and llama (SentencePiece).`, { place: { file: metadata.file } });
  const addBos = metadata.boolean('tokenizer.ggml.add_bos_token', kind === 'llama') && bos !== null;
  const tokenizer = {
    version: '1.0', truncation: null, padding: null, added_tokens: addedTokens(tokens, types), ...parts,
    post_processor: addBos ? withBos(tokens[bos] ?? '', bos) : null,
  };
  const chat_template = metadata.has('tokenizer.chat_template') ? metadata.string('tokenizer.chat_template') : null;
  return { tokenizer, config: { ...namedTokens(metadata, tokens), add_bos_token: addBos, clean_up_tokenization_spaces: false }, chat_template, source: metadata.file };
}

function byteLevelBpe(metadata: Metadata, tokens: readonly string[]) {
  const name = metadata.string('tokenizer.ggml.pre', 'default');
  const pre = PRE_TOKENIZERS[name];
  if (!pre) {
    throw new LoraError('tokenizer', `The tokenizer cuts text in a way that is not known: tokenizer.ggml.pre is "${name}". Known are: ${Object.keys(PRE_TOKENIZERS).join(', ')}.`, {
      place: { file: metadata.file, key: 'tokenizer.ggml.pre' }, fix: 'Use the model\'s safetensors folder with its tokenizer.json.',
    });
  }
  return {
    normalizer: pre.normalizer ?? null, pre_tokenizer: pre.split, decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: bpe(tokens, metadata.strings('tokenizer.ggml.merges').map(cutMerge), { ignore_merges: pre.ignore_merges ?? false, byte_fallback: false, fuse_unk: false, unk_token: null }),
  };
}

/** "a b" -> [a, b]; no part holds a space, which byte-level BPE writes as Ġ. */
function cutMerge(merge: string): [string, string] {
  const at = merge.indexOf(' ', 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

/** As transformers converts SentencePiece BPE: a merge for each way to build a piece of two others, best score first. */
function sentencePiece(metadata: Metadata, tokens: readonly string[]) {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  const unk = tokens[metadata.has('tokenizer.ggml.unknown_token_id') ? metadata.number('tokenizer.ggml.unknown_token_id') : 0] ?? null;
  const prefix = metadata.boolean('tokenizer.ggml.add_space_prefix', true);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  return {
    normalizer: { type: 'Sequence', normalizers: prefix ? [{ type: 'Prepend', prepend: '▁' }, replace] : [replace] },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: bpe(tokens, mergesFromScores(tokens, scores), { ignore_merges: false, byte_fallback: true, fuse_unk: true, unk_token: unk }),
  };
}

function mergesFromScores(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const found = tokens.flatMap((token, id) => {
    const chars = Array.from(token);
    const splits = chars.slice(1).map((_, i) => [chars.slice(0, i + 1).join(''), chars.slice(i + 1).join('')] as [string, string]);
    return splits.filter(([left, right]) => ids.has(left) && ids.has(right))
      .sort((a, b) => ids.get(a[0])! - ids.get(b[0])! || ids.get(a[1])! - ids.get(b[1])!)
      .map((merge) => ({ merge, score: scores[id] ?? 0 }));
  });
  return found.sort((a, b) => b.score - a.score).map(({ merge }) => merge);
}

function bpe(tokens: readonly string[], merges: readonly (readonly [string, string])[], flags: Readonly<Record<string, unknown>>) {
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return { type: 'BPE', dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null, ...flags, vocab, merges };
}

/** Token types: 3 control, 4 user defined (llama.cpp, llama_token_type). */
function addedTokens(tokens: readonly string[], types: readonly number[]) {
  return tokens.flatMap((content, id) => (types[id] === 3 || types[id] === 4
    ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: types[id] === 3 }]
    : []));
}

function withBos(token: string, id: number) {
  const bos = { SpecialToken: { id: token, type_id: 0 } };
  return {
    type: 'TemplateProcessing', single: [bos, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [bos, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function namedTokens(metadata: Metadata, tokens: readonly string[]): Record<string, string> {
  const names = { bos_token: 'bos', eos_token: 'eos', pad_token: 'padding', unk_token: 'unknown' };
  return Object.fromEntries(Object.entries(names).flatMap(([name, key]) => {
    const at = `tokenizer.ggml.${key}_token_id`;
    const token = metadata.has(at) ? tokens[metadata.number(at)] : undefined;
    return token === undefined ? [] : [[name, token]];
  }));
}
