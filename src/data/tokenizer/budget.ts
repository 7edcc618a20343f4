import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { createDeadline, DeadlinePassed } from '../../common/deadline';
import type { TokenizerFiles } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { bpeConfig, type BpeConfig } from './bpe/bpeModel';
import { bpeEncoder, type Encode } from './bpe/bpeTokenizer';
import { Growth, limitGrowth, TextTooLong } from './growth';
import type { Limits } from './limits';

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
  checkAddedTokens(json, config, growth, (work) => guarded(LOAD_MS, 0, work));
  const bpe = bpeConfig(json['model']);
  const inner = guarded(
    LOAD_MS,
    0,
    () => new HuggingFaceTokenizer(bpe ? withoutMerges(json) : json, config),
  );
  limitGrowth(inner, growth);
  let encoder: Encode | undefined;
  // the table of merges is made at the first text: many only read the vocabulary or the template
  const bpeOf = (config: BpeConfig) =>
    (encoder ??= guarded(LOAD_MS, 0, () => bpeEncoder(inner, config)));
  return {
    inner,
    encode: (text, add_special_tokens) => {
      const encode = bpe && bpeOf(bpe);
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

/** The library would only keep them in memory. */
const withoutMerges = (json: Json): Json => ({
  ...json,
  model: { ...(json['model'] as Json), merges: [] },
});

/** The library normalizes added tokens while it loads: it is tried with a limit first. */
function checkAddedTokens(
  json: Json,
  config: Json,
  growth: Growth,
  guarded: (work: () => void) => void,
): void {
  const added = Array.isArray(json['added_tokens']) ? (json['added_tokens'] as Json[]) : [];
  if (json['normalizer'] === null || added.length === 0) return;
  guarded(() => {
    const model = { type: 'BPE', vocab: {}, merges: [] };
    const trial = new HuggingFaceTokenizer({ ...json, model, added_tokens: [] }, config);
    limitGrowth(trial, growth);
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
