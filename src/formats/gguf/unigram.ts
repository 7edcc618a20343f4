import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { tokenizerClassOf } from '../sentencePiece/classes';
import type { SentencePieceModel } from '../sentencePiece/model';
import { stepsOf } from '../sentencePiece/steps';
import type { Metadata } from './metadata';
import { TOKEN_TYPE } from './sentencePiece';

/**
 * Parts of tokenizer.json for SentencePiece's Unigram, with the steps of T5's tokenizer in
 * transformers, which are those of XLM-RoBERTa's, too.
 *
 * @throws LoraError('tokenizer') where the file has no score for each token.
 */
export function unigramParts(
  metadata: Metadata,
  tokens: readonly string[],
  types: readonly number[],
): Readonly<Record<string, unknown>> {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores.length !== tokens.length)
    throw new LoraError(
      'tokenizer',
      `The file has ${scores.length} scores for ${tokens.length} tokens.`,
      { place: { file: metadata.file, key: 'tokenizer.ggml.scores' } },
    );
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0)
    throw new LoraError('tokenizer', `The score of token ${bad} is ${scores[bad]!}.`, {
      place: { file: metadata.file, key: 'tokenizer.ggml.scores' },
      fix: 'Download the file again, or use another one of the model.',
    });
  const unk_id = unknownId(metadata, tokens, types);
  const pieces = tokens.map((text, i) => ({ text, score: scores[i]!, type: types[i] ?? 1 }));
  const byte_fallback = types.includes(TOKEN_TYPE.byte);
  const model: SentencePieceModel = {
    kind: 'unigram',
    pieces,
    ids: { unk: unk_id, bos: -1, eos: -1, pad: -1 },
    byte_fallback,
    charsmap: charsmapOf(metadata),
    add_dummy_prefix: metadata.boolean('tokenizer.ggml.add_space_prefix', true),
    remove_extra_whitespaces: metadata.boolean('tokenizer.ggml.remove_extra_whitespaces', true),
    escape_whitespaces: true,
  };
  return {
    ...stepsOf(model, tokenizerClassOf({}, 't5')!, {}),
    model: {
      type: 'Unigram',
      unk_id,
      vocab: pieces.map(({ text, score }) => [text, score]),
      byte_fallback,
    },
  };
}

/** The token of characters in no other one. @throws LoraError('tokenizer') for an id of none */
function unknownId(
  metadata: Metadata,
  tokens: readonly string[],
  types: readonly number[],
): number {
  const key = 'tokenizer.ggml.unknown_token_id';
  const id = metadata.number(key, Math.max(0, types.indexOf(TOKEN_TYPE.unknown)));
  if (tokens[id] !== undefined) return id;
  throw new LoraError(
    'tokenizer',
    `${key} is ${id}, but the file has only ${countOf(tokens.length, 'token')}.`,
    {
      place: { file: metadata.file, key },
      fix: 'Download the file again, or use another one of the model.',
    },
  );
}

/** The rules of characters; the file has their bytes as numbers, signed or not. */
function charsmapOf(metadata: Metadata): Buffer {
  const key = 'tokenizer.ggml.precompiled_charsmap';
  return metadata.has(key)
    ? Buffer.from(metadata.numbers(key).map((x) => x & 255))
    : Buffer.alloc(0);
}
