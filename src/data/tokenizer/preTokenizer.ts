import { LoraError } from '../../shared/errors';
import { escapeRegExp, isObject } from '../../shared/values';

type Config = Readonly<Record<string, unknown>>;

/** GPT-2's pattern. Its \s is Unicode's White_Space, unlike JavaScript's. */
const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const PUNCTUATION = '[\\p{P}!-/:-@\\[-`{-~]';

/**
 * Rewrites a pre-tokenizer of tokenizer.json so that @huggingface/tokenizers splits as the Rust
 * library does. The former knows only ASCII digits and word characters, a different white space,
 * and not every behavior of Split.
 *
 * @param source Named in errors.
 * @throws LoraError('tokenizer') for an unsupported Split.
 */
export function repairPreTokenizer(config: unknown, source: string): unknown {
  if (!isObject(config)) return config ?? null;
  switch (config['type']) {
    case 'Sequence':
      return sequence(
        ...asArray(config['pretokenizers']).map((one) => repairPreTokenizer(one, source)),
      );
    case 'Digits':
      return isolated(config['individual_digits'] === true ? '\\p{N}' : '\\p{N}+');
    case 'Whitespace':
      return { ...split('\\w+|[^\\w\\s]+', 'Removed'), invert: true };
    case 'WhitespaceSplit':
      return split('\\s+', 'Removed');
    case 'Punctuation':
      return repairSplit({ ...config, pattern: { Regex: PUNCTUATION } }, source);
    case 'ByteLevel':
      return config['use_regex'] === false ? config : byteLevel(config);
    case 'Metaspace':
      return metaspace(config);
    case 'Split':
      return repairSplit(config, source);
    default:
      return config;
  }
}

function byteLevel(config: Config): Config {
  const prefix = { type: 'Metaspace', replacement: ' ', prepend_scheme: 'always' };
  const bytes = { ...config, use_regex: false, add_prefix_space: false };
  return sequence(
    ...(config['add_prefix_space'] === true ? [prefix] : []),
    isolated(GPT2_PATTERN),
    bytes,
  );
}

function metaspace(config: Config): Config {
  const scheme =
    config['prepend_scheme'] ?? (config['add_prefix_space'] === false ? 'never' : 'always');
  const prepend = { ...config, prepend_scheme: scheme };
  if (config['split'] === false) return prepend;
  return sequence(
    prepend,
    isolated(withNext(escapeRegExp(textOf(config['replacement'], '\u2581')))),
  );
}

function repairSplit(config: Config, source: string): Config {
  const pattern = regexOf(config['pattern']);
  const behavior = textOf(config['behavior'], 'Isolated').toLowerCase();
  if (behavior === 'isolated') return isolated(pattern);
  if (behavior === 'removed')
    return { ...split(pattern, 'Removed'), invert: config['invert'] === true };
  if (config['invert'] !== true) {
    if (behavior === 'contiguous') return isolated(`(?:${pattern})+`);
    if (behavior === 'mergedwithnext') return isolated(withNext(pattern));
    if (behavior === 'mergedwithprevious')
      return isolated(`(?:(?!${pattern})[\\s\\S])*(?:${pattern}|\\z)`);
  }
  throw new LoraError(
    'tokenizer',
    `The pre-tokenizer splits in a way that is not supported (${JSON.stringify(config)}).`,
    {
      place: { file: source },
      fix: 'Use a base model with another tokenizer.',
    },
  );
}

/** A match, with everything up to the next match. */
const withNext = (pattern: string) => `(?:${pattern})(?:(?!${pattern})[\\s\\S])*`;
const sequence = (...pretokenizers: readonly unknown[]): Config => ({
  type: 'Sequence',
  pretokenizers,
});
const split = (regex: string, behavior: string): Config => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert: false,
});
const isolated = (regex: string) => split(regex, 'Isolated');
const asArray = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function regexOf(pattern: unknown): string {
  if (!isObject(pattern)) return escapeRegExp(textOf(pattern, ''));
  return typeof pattern['Regex'] === 'string'
    ? pattern['Regex']
    : escapeRegExp(textOf(pattern['String'], ''));
}
