import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { checkAddedLimits } from './limits';
import { repairPreTokenizer } from './preTokenizer';

type Config = Readonly<Record<string, unknown>>;

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly lstrip: boolean;
  readonly normalized: boolean;
}

/**
 * Completes tokenizer.json: absent parts become null, added tokens of tokenizer_config.json are
 * included, pre-tokenizers are rewritten for our library.
 *
 * @param source Named in errors.
 * @throws LoraError('tokenizer') for an invalid added token or an unsupported pre-tokenizer.
 */
export function completeTokenizerJson(
  tokenizer: Config,
  config: Config,
  source: string,
): Config & { readonly added_tokens: readonly Config[] } {
  const added_tokens = allAddedTokens(tokenizer, config).map((token) =>
    checkedToken(token, source),
  );
  checkAddedLimits(added_tokens, source);
  return {
    normalizer: null,
    post_processor: null,
    decoder: null,
    ...tokenizer,
    pre_tokenizer: repairPreTokenizer(tokenizer['pre_tokenizer'], source),
    added_tokens,
  };
}

function allAddedTokens(tokenizer: Config, config: Config): Config[] {
  const own = Array.isArray(tokenizer['added_tokens'])
    ? tokenizer['added_tokens'].filter(isObject)
    : [];
  const known = new Set(own.map((token) => token['content']));
  const decoder = isObject(config['added_tokens_decoder']) ? config['added_tokens_decoder'] : {};
  const more = Object.entries(decoder).flatMap(([id, token]) =>
    isObject(token) && !known.has(token['content']) ? [{ ...token, id: Number(id) }] : [],
  );
  return [...own, ...more];
}

/** @throws LoraError('tokenizer') without a text or a valid id. */
function checkedToken(token: Config, source: string): Config {
  const { id, content } = token;
  if (typeof content === 'string' && Number.isSafeInteger(id) && (id as number) >= 0) return token;
  throw new LoraError('tokenizer', 'An added token has no text or no whole number as its id.', {
    place: { file: source, key: 'added_tokens' },
    fix: 'Download the model again.',
  });
}

/** An entry of added_tokens with its defaults. */
export function toAddedToken(token: Config): AddedToken {
  const special = token['special'] === true;
  return {
    id: Number(token['id']),
    content: String(token['content']),
    special,
    lstrip: token['lstrip'] === true,
    normalized: typeof token['normalized'] === 'boolean' ? token['normalized'] : !special,
  };
}

const NAMED_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;
export type NamedToken = (typeof NAMED_TOKENS)[number];

/** bos_token, eos_token and so on, as far as tokenizer_config.json has them, as text or object. */
export function namedTokens(config: Config): Partial<Record<NamedToken, string>> {
  return Object.fromEntries(
    NAMED_TOKENS.flatMap((name) => {
      const value = config[name];
      const content = isObject(value) ? value['content'] : value;
      return typeof content === 'string' ? [[name, content]] : [];
    }),
  );
}
