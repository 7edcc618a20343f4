import { escapeRegExp } from '../../shared/values';
import type { TokenizerClass } from './classes';
import { PIECE_TYPE, type SentencePieceModel } from './model';

type Config = Readonly<Record<string, unknown>>;

const SPACE = '\u2581';
const replace = (pattern: Config, content: string): Config => ({
  type: 'Replace',
  pattern,
  content,
});
const metaspace = (prepend_scheme: string, split: boolean): Config => ({
  type: 'Metaspace',
  replacement: SPACE,
  prepend_scheme,
  split,
});

/** The normalizer, pre-tokenizer and decoder of tokenizer.json for a SentencePiece file. */
export const stepsOf = (model: SentencePieceModel, own: TokenizerClass, config: Config): Config =>
  own.splits_words ? stepsOfWords(model, own, config) : stepsOfFile(model, own, config);

const charsmapOf = ({ charsmap }: SentencePieceModel): readonly Config[] =>
  charsmap.length === 0
    ? []
    : [{ type: 'Precompiled', precompiled_charsmap: charsmap.toString('base64') }];

/** Words between white space, each with a space in front. */
function stepsOfWords(model: SentencePieceModel, own: TokenizerClass, config: Config): Config {
  const pretokenizers = [{ type: 'WhitespaceSplit' }, metaspace('always', true)];
  const normalizers = [...(own.normalizers?.(config) ?? []), ...charsmapOf(model)];
  return {
    normalizer: normalizers.length === 0 ? null : { type: 'Sequence', normalizers },
    pre_tokenizer: { type: 'Sequence', pretokenizers },
    decoder: metaspace('always', true),
  };
}

/**
 * What the normalizer's settings in the file say, as SentencePiece does it. The first space is
 * added to each part between special tokens, or, where the config says that it is not `legacy`, to
 * the start of a text only. Marks of punctuation that DeBERTa splits off get a space in front, and
 * a space before them is a word of its own, also at the start, as in transformers 5.
 */
function stepsOfFile(model: SentencePieceModel, own: TokenizerClass, config: Config): Config {
  const isLegacy = config['legacy'] !== false;
  const splitsMarks = config['split_by_punct'] === true;
  const { add_dummy_prefix, escape_whitespaces } = model;
  const normalizers = [
    ...(own.normalizers?.(config) ?? []),
    ...charsmapOf(model),
    ...(model.remove_extra_whitespaces
      ? // runs first: finding their ends takes the square of the longest one
        [
          replace({ Regex: ' {2,}' }, ' '),
          replace({ Regex: splitsMarks ? ' \\z' : '\\A | \\z' }, ''),
        ]
      : []),
    ...(escape_whitespaces ? [replace({ String: ' ' }, SPACE)] : []),
    // Metaspace adds no space to a text that begins with one, SentencePiece does
    ...(add_dummy_prefix && isLegacy && !splitsMarks
      ? [replace({ Regex: `\\A${SPACE}` }, `${SPACE}${SPACE}`)]
      : []),
  ];
  const pretokenizers = [
    ...(splitsMarks ? [{ type: 'Punctuation', behavior: 'Isolated' }] : []),
    ...(add_dummy_prefix ? [metaspace(isLegacy ? 'always' : 'first', splitsMarks)] : []),
    ...userDefined(model),
  ];
  return {
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: pretokenizers.length === 0 ? null : { type: 'Sequence', pretokenizers },
    decoder: decoderOf(model, splitsMarks),
  };
}

/** Pieces that the user defined are never merged with what is beside them. */
function userDefined({ pieces }: SentencePieceModel): readonly Config[] {
  const texts = pieces
    .filter(({ type }) => type === PIECE_TYPE.user_defined)
    .map(({ text }) => text);
  if (texts.length === 0) return [];
  const Regex = texts
    .sort((a, b) => b.length - a.length)
    .map(escapeRegExp)
    .join('|');
  return [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }];
}

/** SentencePiece drops all spaces at the start where it would not have kept any. */
const MOST_SPACES = 1 << 16;

function decoderOf(model: SentencePieceModel, splitsMarks: boolean): Config {
  const { byte_fallback, add_dummy_prefix, remove_extra_whitespaces } = model;
  const start = remove_extra_whitespaces && !splitsMarks ? MOST_SPACES : 1;
  return {
    type: 'Sequence',
    decoders: [
      replace({ String: SPACE }, ' '),
      ...(byte_fallback ? [{ type: 'ByteFallback' }] : []),
      { type: 'Fuse' },
      ...(add_dummy_prefix ? [{ type: 'Strip', content: ' ', start, stop: 0 }] : []),
    ],
  };
}
