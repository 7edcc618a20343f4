import type { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { BpeModel, type BpeConfig } from './bpeModel';
import { fastSplitter, type Splitter } from './splitter';
import { preTokenizerOf, type PreTokenizerStep } from './preTokenize';
import { wordSplitter } from './words';

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

/** A BPE tokenizer: ids of a text, with special tokens or without. */
export type Encode = (text: string, add_special_tokens: boolean) => number[];

/**
 * Encodes texts as the library does with a BPE model, some times as fast: the library splits at
 * added tokens and normalizes; pieces are merged here, and remembered.
 *
 * @param library Made with a model without merges, which it would only keep in memory.
 */
export function bpeEncoder(library: HuggingFaceTokenizer, config: BpeConfig): Encode {
  const inner = library as unknown as Internals;
  const { model, added_tokens_map, post_processor } = inner;
  const idOf = (token: string) => added_tokens_map.get(token)?.id ?? model.tokens_to_ids.get(token);
  const { split, isByteLevel } = preTokenizerOf(inner.pre_tokenizer);
  const bpe = new BpeModel(config, idOf, isByteLevel);
  const splitWords = isByteLevel ? null : wordSplitter(config.merges);
  const own = Object.assign(Object.create(library) as Internals, {
    splitter_unnormalized: fastSplitter(inner.splitter_unnormalized),
    splitter_normalized: fastSplitter(inner.splitter_normalized),
    pre_tokenizer: split,
    model: (pieces: readonly string[]) => bpe.encode(splitWords ? splitWords(pieces) : pieces),
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

/** Stands for the tokens of a text; no token has this text. */
const TEXT = '\ud800text';
