import { LoraError } from '../../shared/errors';
import type { Metadata } from './metadata';
import { TOKEN_TYPE } from './sentencePiece';

/** What begins a token that begins a word; others continue one. */
const WORD = '\u2581';
const CONTINUING = '##';
/** Words with more characters are unknown, as in all of BERT's tokenizers. */
const MAX_WORD = 100;

/**
 * The tokens as vocab.txt has them: of these files, those that begin a word begin with ▁, and those
 * within a word have no sign. Source: llama.cpp, conversion/bert.py.
 *
 * @throws LoraError('tokenizer') for a token that the file has twice
 */
export function wordPieces(
  metadata: Metadata,
  tokens: readonly string[],
  types: readonly number[],
): readonly string[] {
  const pieces = tokens.map((token, id) => {
    if (types[id] === TOKEN_TYPE.control) return token;
    return token.startsWith(WORD) ? token.slice(WORD.length) : CONTINUING + token;
  });
  const seen = new Set<string>();
  for (const [id, piece] of pieces.entries()) {
    if (!seen.has(piece)) {
      seen.add(piece);
      continue;
    }
    throw new LoraError('tokenizer', `Token ${id}, ${JSON.stringify(piece)}, is there twice.`, {
      place: { file: metadata.file, key: 'tokenizer.ggml.tokens' },
      fix: 'Download the file again, or use another one of the model.',
    });
  }
  return pieces;
}

/** Ids of BERT's vocabulary, which llama.cpp uses where a file names none. */
export const BERT_IDS = { cls: 101, seperator: 102, unknown: 100 } as const;

/** Parts of tokenizer.json for WordPiece, with the steps of BERT's tokenizer. */
export function wordPieceParts(
  metadata: Metadata,
  pieces: readonly string[],
  unk_token: string,
): Readonly<Record<string, unknown>> {
  const lowercase = metadata.boolean('tokenizer.ggml.normalizer.lowercase', isUncased(pieces));
  return {
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: metadata.boolean('tokenizer.ggml.normalizer.strip_accents', lowercase),
      lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: CONTINUING, cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token,
      continuing_subword_prefix: CONTINUING,
      max_input_chars_per_word: MAX_WORD,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
    },
  };
}

/**
 * Whether no token but those in brackets, such as [CLS], has a capital letter: files of before 2026
 * do not say whether texts become lowercase.
 */
const isUncased = (pieces: readonly string[]): boolean =>
  !pieces.some((piece) => /[A-Z]/.test(piece) && !/^(?:##)?\[.*\]$/.test(piece));
