import type { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { BpeModel, type BpeConfig, type IdOf } from './bpe/bpeModel';
import { fastSplitter, type Splitter } from './bpe/splitter';
import { preTokenizerOf, type PreTokenizerStep } from './bpe/preTokenize';
import { wordSplitter } from './bpe/words';
import { UnigramModel, type UnigramConfig } from './unigram/unigramModel';

/** The parts of the library's tokenizer that are replaced, or used on their own. */
interface Internals {
  readonly model: { readonly tokens_to_ids: ReadonlyMap<string, number> };
  readonly pre_tokenizer: PreTokenizerStep | null;
  readonly splitter_unnormalized: Splitter;
  readonly splitter_normalized: Splitter;
  readonly added_tokens_map: ReadonlyMap<string, { readonly id: number }>;
  readonly post_processor:
    | ((
        tokens: readonly string[],
        pair: null,
        add_special_tokens: boolean,
      ) => { readonly tokens: readonly string[] })
    | null;
  encode_text(text: string): readonly (string | number)[];
}

/** The ids of a text, with special tokens or without. */
export type Encode = (text: string, add_special_tokens: boolean) => number[];

/** The model of a tokenizer that is computed here, not by the library. */
export type ModelConfig =
  | { readonly type: 'BPE'; readonly bpe: BpeConfig }
  | { readonly type: 'Unigram'; readonly unigram: UnigramConfig };

/** Ids of the pieces that a text was split into. */
type EncodePieces = (pieces: readonly string[]) => number[];

/**
 * Encodes texts as the Rust library does with a model of BPE or unigrams: the library splits at
 * added tokens and normalizes; pieces are encoded here, some times as fast, and remembered.
 *
 * @param library Made with a model that need only know the vocabulary.
 */
export function modelEncoder(library: HuggingFaceTokenizer, config: ModelConfig): Encode {
  const inner = library as unknown as Internals;
  const { model, added_tokens_map, post_processor } = inner;
  const idOf = (token: string) => added_tokens_map.get(token)?.id ?? model.tokens_to_ids.get(token);
  const { split, isByteLevel } = preTokenizerOf(inner.pre_tokenizer);
  const own = Object.assign(Object.create(library) as Internals, {
    splitter_unnormalized: fastSplitter(inner.splitter_unnormalized),
    splitter_normalized: fastSplitter(inner.splitter_normalized),
    pre_tokenizer: split,
    model: piecesEncoder(config, idOf, isByteLevel),
  });
  const encodePlain = (text: string): number[] =>
    own.encode_text(text).map((item) => (typeof item === 'number' ? item : idOf(item)!));
  return (text, add_special_tokens) => {
    const ids = encodePlain(text);
    if (!add_special_tokens || post_processor === null) return ids;
    const { tokens } = post_processor([TEXT], null, true);
    return tokens.flatMap((token) => (token === TEXT ? ids : (idOf(token) ?? [])));
  };
}

function piecesEncoder(config: ModelConfig, idOf: IdOf, isByteLevel: boolean): EncodePieces {
  if (config.type === 'Unigram') {
    const unigram = new UnigramModel(config.unigram);
    return (pieces) => unigram.encode(pieces);
  }
  const splitWords = isByteLevel ? null : wordSplitter(config.bpe.merges);
  if (!splitWords || !config.bpe.ignore_merges) {
    const bpe = new BpeModel(config.bpe, idOf, isByteLevel);
    return (pieces) => bpe.encode(splitWords ? splitWords(pieces) : pieces);
  }
  // a piece that is a token is not divided, but its words are none of the pieces
  const merging = new BpeModel({ ...config.bpe, ignore_merges: false }, idOf, isByteLevel);
  return (pieces) => pieces.flatMap((piece) => idOf(piece) ?? merging.encode(splitWords([piece])));
}

/** Stands for the tokens of a text; no token has this text. */
const TEXT = '\ud800text';
