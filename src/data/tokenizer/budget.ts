import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { createDeadline, DeadlinePassed } from '../../common/deadline';
import type { TokenizerFiles } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { bpeConfig } from './bpe/bpeModel';
import { applyCharsmaps } from './charsmap';
import { Growth, limitGrowth, TextTooLong } from './growth';
import type { Limits } from './limits';
import { modelEncoder, type Encode, type ModelConfig } from './modelEncoder';
import { unigramConfig } from './unigram/unigramModel';

/** For 65,536 characters, which usually take 0.1 s, twice as long. */
const LEAST_MS = 2_000;
const MS_PER_CHARACTER = 0.03;
const LOAD_MS = 20_000;
/** Characters of a token on average, at most. */
const TOKEN_CHARACTERS = 64;

type Json = Readonly<Record<string, unknown>>;

interface EncodeOptions {
  readonly text_pair?: string;
  readonly add_special_tokens?: boolean;
}

/** The library's tokenizer, whose work on a text is limited in time and memory. */
export interface BoundedTokenizer {
  readonly inner: HuggingFaceTokenizer;
  readonly encode: (text: string, add_special_tokens: boolean) => number[];
  /** For the special tokens around short texts only: a BPE model merges nothing here. */
  readonly encodeUnmerged: (text: string, options: EncodeOptions) => number[];
  readonly decode: HuggingFaceTokenizer['decode'];
}

/**
 * Loads a tokenizer of an untrusted file.
 *
 * @param json tokenizer.json, completed.
 * @param limits Those of tokenizer.json as it was read.
 * @throws LoraError('tokenizer') where it is not valid or beyond the limits; `encode` and `decode`
 *   too, when they take too much time or memory.
 */
export function loadBounded(
  json: Json,
  { config, source }: Pick<TokenizerFiles, 'config' | 'source'>,
  { needsDeadline }: Limits,
): BoundedTokenizer {
  const run = needsDeadline ? createDeadline() : <T>(_: number, work: () => T) => work();
  const growth = new Growth();
  const guarded = <T>(milliseconds: number, characters: number, work: () => T): T => {
    growth.start(characters);
    try {
      return run(milliseconds, work);
    } catch (error) {
      throw failure(error, source);
    }
  };
  const timeFor = (characters: number) => LEAST_MS + MS_PER_CHARACTER * characters;
  const load = (tokenizer: Json) => {
    const made = new HuggingFaceTokenizer(tokenizer, config);
    applyCharsmaps(made, source);
    limitGrowth(made, growth);
    return made;
  };
  const model = modelOf(json['model']);
  checkAddedTokens(json, load, (work) => guarded(LOAD_MS, 0, work));
  const inner = guarded(LOAD_MS, 0, () => load(model ? withVocabularyOnly(json, model) : json));
  let encoder: Encode | undefined;
  // the table of merges is made at the first text: many only read the vocabulary or the template
  const encoderOf = (config: ModelConfig) =>
    (encoder ??= guarded(LOAD_MS, 0, () => modelEncoder(inner, config)));
  return {
    inner,
    encode: (text, add_special_tokens) => {
      const encode = model && encoderOf(model);
      return guarded(timeFor(text.length), text.length, () =>
        encode ? encode(text, add_special_tokens) : inner.encode(text, { add_special_tokens }).ids,
      );
    },
    encodeUnmerged: (text, options) =>
      guarded(LEAST_MS, text.length, () => inner.encode(text, options).ids),
    decode: (ids, options) => {
      const characters = ids.length * TOKEN_CHARACTERS;
      return guarded(timeFor(characters), characters, () => inner.decode(ids, options));
    },
  };
}

/** Null for a model that only the library knows, such as WordPiece. */
function modelOf(model: unknown): ModelConfig | null {
  const bpe = bpeConfig(model);
  if (bpe) return { type: 'BPE', bpe };
  const unigram = unigramConfig(model);
  return unigram && { type: 'Unigram', unigram };
}

/** The library would only keep the merges in memory, and make a trie of the pieces. */
function withVocabularyOnly(json: Json, model: ModelConfig): Json {
  if (model.type === 'BPE') return { ...json, model: { ...(json['model'] as Json), merges: [] } };
  const { pieces, unk_id } = model.unigram;
  const vocab = Object.fromEntries(pieces.map((text, id) => [text, id]));
  return { ...json, model: { type: 'BPE', vocab, merges: [], unk_token: pieces[unk_id] } };
}

/** The library normalizes added tokens while it loads: it is tried with a limit first. */
function checkAddedTokens(
  json: Json,
  load: (tokenizer: Json) => HuggingFaceTokenizer,
  guarded: (work: () => void) => void,
): void {
  const added = Array.isArray(json['added_tokens']) ? (json['added_tokens'] as Json[]) : [];
  if (json['normalizer'] === null || added.length === 0) return;
  guarded(() => {
    const model = { type: 'BPE', vocab: {}, merges: [] };
    const trial = load({ ...json, model, added_tokens: [] });
    for (const { content } of added) trial.normalizer?.(String(content));
  });
}

function failure(error: unknown, source: string): LoraError {
  if (error instanceof LoraError) return error;
  const fix =
    'Download the model again from its publisher, or use a base model with another tokenizer.';
  if (error instanceof DeadlinePassed)
    return new LoraError(
      'tokenizer',
      `A regular expression or the vocabulary of the tokenizer takes unlimited time: it was ended after ${Math.round(error.milliseconds / 1000)} s.`,
      { place: { file: source }, fix, cause: error },
    );
  if (error instanceof TextTooLong)
    return new LoraError('tokenizer', `The tokenizer cannot be used: ${error.message}`, {
      place: { file: source, key: error.key },
      fix,
      cause: error,
    });
  return new LoraError(
    'tokenizer',
    `The tokenizer cannot be read: ${LoraError.from(error, 'tokenizer').message}`,
    {
      place: { file: source },
      cause: error,
      fix: 'Check that tokenizer.json is complete, or use a base model with another tokenizer.',
    },
  );
}
