import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { Entry, TokenizerClass } from './classes';
import { PIECE_TYPE, type SentencePieceModel } from './model';

type Config = Readonly<Record<string, unknown>>;
export type Names = Readonly<Record<string, string>>;

/** A SentencePiece file and what stands beside it. */
export interface SentencePieceFiles {
  readonly model: SentencePieceModel;
  /** tokenizer_config.json with special_tokens_map.json. */
  readonly config: Config;
  /** added_tokens.json: ids by text. */
  readonly added: Config;
  /** model_type of config.json, if there is one. */
  readonly model_type: unknown;
  /** The file of the model. */
  readonly source: string;
}

const NAMES = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
];

function contentOf(value: unknown): string | null {
  const content = isObject(value) ? value['content'] : value;
  return typeof content === 'string' && content !== '' ? content : null;
}

/** The named tokens of a config, as texts. */
export const namesIn = (config: Config): Names =>
  Object.fromEntries(
    NAMES.flatMap((name) => {
      const content = contentOf(config[name]);
      return content === null ? [] : [[name, content]];
    }),
  );

export interface Tokens {
  /** The model's own, by id. */
  readonly entries: readonly Entry[];
  /** The ids of all of them, including added ones. */
  readonly ids: ReadonlyMap<string, number>;
  /** Those that are matched before a text is split; true: special. */
  readonly matched: ReadonlyMap<string, boolean>;
}

/**
 * The vocabulary, with tokens that only the files beside it name: those have the ids of
 * added_tokens.json, or come last.
 *
 * @throws LoraError('tokenizer') for an id of added_tokens.json that is none
 */
export function tokensOf(files: SentencePieceFiles, own: TokenizerClass, names: Names): Tokens {
  const { model, config } = files;
  const pieces = model.pieces.map(({ text, score }): Entry => [text, score]);
  const entries = own.vocab?.(pieces, names, config) ?? pieces;
  const ids = new Map(entries.map(([text], id) => [text, id] as const));
  const matched = new Map<string, boolean>();
  for (const { text, type } of model.pieces)
    if (ids.has(text) && isMatched(type, own)) matched.set(text, type !== PIECE_TYPE.user_defined);
  for (const [text, id] of storedIds(files)) {
    ids.set(text, id);
    matched.set(text, false);
  }
  let next = ids.size === entries.length ? entries.length : 1 + largest(ids);
  for (const text of specialTokens(config, names, own)) {
    if (!ids.has(text)) ids.set(text, next++);
    matched.set(text, true);
  }
  return { entries, ids, matched };
}

function isMatched(type: number, { splits_words }: TokenizerClass): boolean {
  if (type === PIECE_TYPE.user_defined) return splits_words;
  return type === PIECE_TYPE.control || type === PIECE_TYPE.unknown;
}

function storedIds({ added, source }: SentencePieceFiles): readonly (readonly [string, number])[] {
  return Object.entries(added).map(([text, id]) => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return [text, id];
    throw new LoraError(
      'tokenizer',
      `The id of the token ${JSON.stringify(text)} in added_tokens.json is not a whole number.`,
      { place: { file: source, key: 'added_tokens' }, fix: 'Download the model again.' },
    );
  });
}

const largest = (ids: ReadonlyMap<string, number>): number => {
  let most = -1;
  for (const id of ids.values()) most = Math.max(most, id);
  return most;
};

/** Named tokens, those that the config lists, and the sentinels of the class. */
function specialTokens(config: Config, names: Names, own: TokenizerClass): readonly string[] {
  const listed = config['additional_special_tokens'] ?? config['extra_special_tokens'];
  return [
    ...NAMES.flatMap((name) => names[name] ?? []),
    ...(own.sentinels?.(config) ?? []),
    ...(Array.isArray(listed) ? listed.flatMap((token) => contentOf(token) ?? []) : []),
  ];
}

/** added_tokens of tokenizer.json. */
export const addedTokens = ({ ids, matched }: Tokens): readonly Config[] =>
  [...matched]
    .map(([content, special]) => ({
      id: ids.get(content) ?? -1,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    }))
    .sort((a, b) => a.id - b.id);
