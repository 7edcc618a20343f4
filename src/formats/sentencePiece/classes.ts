type Config = Readonly<Record<string, unknown>>;
/** A token and its score. */
export type Entry = readonly [token: string, score: number];
type Names = Readonly<Record<string, string>>;
type Items = readonly (readonly [token: string, type_id: number])[];

/** Stand for the first and the second text in a frame. */
const A = 'A';
const B = 'B';
export const TEXT: readonly string[] = [A, B];

/** The special tokens around one text and around two. */
export interface Frame {
  readonly single: Items;
  readonly pair: Items;
}

/** What a tokenizer class of transformers makes of a SentencePiece file beyond what it says. */
export interface TokenizerClass {
  /** Named tokens that tokenizer_config.json need not name. */
  readonly names: Names;
  /** Tokens by id, where they aren't the pieces of the file. */
  readonly vocab?: (pieces: readonly Entry[], names: Names, config: Config) => readonly Entry[];
  /** Special tokens of the vocabulary besides the named ones. */
  readonly sentinels?: (config: Config) => readonly string[];
  /** Steps before those of the file. */
  readonly normalizers?: (config: Config) => readonly Config[];
  /** Words are split at any white space, and all of it is one space. */
  readonly splits_words: boolean;
  /** Whether marks of punctuation are words of their own, where the config says so. */
  readonly may_split_marks?: true;
  readonly frame: (names: Names, config: Config) => Frame;
}

/** No published T5 has more. */
const MOST_EXTRA_IDS = 10_000;

/** How many sentinels T5 has; null where the config has no usable number. */
export function extraIdCount({ extra_ids: given }: Config): number | null {
  const count = given ?? 100;
  const isCount = typeof count === 'number' && Number.isInteger(count);
  return isCount && count >= 0 && count <= MOST_EXTRA_IDS ? count : null;
}

/** Sentinels are the last tokens, in falling order. */
function extraIds(config: Config): readonly string[] {
  const count = extraIdCount(config) ?? 0;
  return Array.from({ length: count }, (_, i) => `<extra_id_${count - 1 - i}>`);
}

const bertFrame = ({ cls_token: cls = '', sep_token: sep = '' }: Names): Frame => ({
  single: [
    [cls, 0],
    [A, 0],
    [sep, 0],
  ],
  pair: [
    [cls, 0],
    [A, 0],
    [sep, 0],
    [B, 1],
    [sep, 1],
  ],
});

const replace = (pattern: Config, content: string): Config => ({
  type: 'Replace',
  pattern,
  content,
});

const t5: TokenizerClass = {
  names: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' },
  vocab: (pieces, _, config) => [...pieces, ...extraIds(config).map((token): Entry => [token, 0])],
  sentinels: extraIds,
  splits_words: true,
  frame: ({ eos_token: eos = '' }) => ({
    single: [
      [A, 0],
      [eos, 0],
    ],
    pair: [
      [A, 0],
      [eos, 0],
      [B, 0],
      [eos, 0],
    ],
  }),
};

/** Its ids are those of fairseq: the first three pieces are four tokens in another order. */
const xlmRoberta: TokenizerClass = {
  names: {
    bos_token: '<s>',
    eos_token: '</s>',
    unk_token: '<unk>',
    sep_token: '</s>',
    pad_token: '<pad>',
    cls_token: '<s>',
    mask_token: '<mask>',
  },
  vocab: (pieces, names) => [
    ...['bos_token', 'pad_token', 'eos_token', 'unk_token'].map((name): Entry => [
      names[name] ?? '',
      0,
    ]),
    ...pieces.slice(3),
    [names['mask_token'] ?? '', 0],
  ],
  splits_words: true,
  frame: ({ bos_token: bos = '', eos_token: eos = '' }) => ({
    single: [
      [bos, 0],
      [A, 0],
      [eos, 0],
    ],
    pair: [
      [bos, 0],
      [A, 0],
      [eos, 0],
      [eos, 0],
      [B, 0],
      [eos, 0],
    ],
  }),
};

const albert: TokenizerClass = {
  names: {
    bos_token: '[CLS]',
    eos_token: '[SEP]',
    unk_token: '<unk>',
    sep_token: '[SEP]',
    pad_token: '<pad>',
    cls_token: '[CLS]',
    mask_token: '[MASK]',
  },
  normalizers: (config) => [
    replace({ String: '``' }, '"'),
    replace({ String: "''" }, '"'),
    ...(config['keep_accents'] === true ? [] : [{ type: 'NFKD' }, { type: 'StripAccents' }]),
    ...(config['do_lower_case'] === false ? [] : [{ type: 'Lowercase' }]),
  ],
  splits_words: true,
  frame: bertFrame,
};

const deberta: TokenizerClass = {
  names: {
    bos_token: '[CLS]',
    eos_token: '[SEP]',
    unk_token: '[UNK]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    cls_token: '[CLS]',
    mask_token: '[MASK]',
  },
  normalizers: (config) => [
    ...(config['do_lower_case'] === true ? [{ type: 'Lowercase' }] : []),
    // spaces before a first mark are a word of their own where marks are split off
    { type: 'Strip', strip_left: config['split_by_punct'] !== true, strip_right: true },
  ],
  splits_words: false,
  may_split_marks: true,
  frame: bertFrame,
};

/** As the file says; bos at the start, and eos at the end only if the config says so. */
const plain = (names: Names): TokenizerClass => ({
  names,
  splits_words: false,
  frame: ({ bos_token: bos = '', eos_token: eos = '' }, config) => {
    const around = (text: string, type_id: number): Items => [
      ...(config['add_bos_token'] === false ? [] : ([[bos, type_id]] as const)),
      [text, type_id],
      ...(config['add_eos_token'] === true ? ([[eos, type_id]] as const) : []),
    ];
    return { single: around(A, 0), pair: [...around(A, 0), ...around(B, 1)] };
  },
});

const llama = plain({ bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' });
const gemma = plain({
  bos_token: '<bos>',
  eos_token: '<eos>',
  unk_token: '<unk>',
  pad_token: '<pad>',
});

/** By the tokenizer_class of tokenizer_config.json, without "Fast". */
const CLASSES: Readonly<Record<string, TokenizerClass>> = {
  T5Tokenizer: t5,
  MT5Tokenizer: t5,
  XLMRobertaTokenizer: xlmRoberta,
  AlbertTokenizer: albert,
  DebertaV2Tokenizer: deberta,
  LlamaTokenizer: llama,
  Ernie4_5_Tokenizer: llama,
  GemmaTokenizer: gemma,
};

/** By the model_type of config.json, where tokenizer_config.json names no class. */
const OF_MODELS: Readonly<Record<string, keyof typeof CLASSES>> = {
  t5: 'T5Tokenizer',
  mt5: 'MT5Tokenizer',
  'xlm-roberta': 'XLMRobertaTokenizer',
  albert: 'AlbertTokenizer',
  'deberta-v2': 'DebertaV2Tokenizer',
  gemma: 'GemmaTokenizer',
  gemma2: 'GemmaTokenizer',
  gemma3: 'GemmaTokenizer',
  gemma3_text: 'GemmaTokenizer',
};

export const CLASS_NAMES: readonly string[] = Object.keys(CLASSES);

/** Null for a class whose way with such a file is not known. */
export function tokenizerClassOf(config: Config, model_type: unknown): TokenizerClass | null {
  const named = config['tokenizer_class'];
  if (typeof named === 'string') {
    const name = named.replace(/Fast$/, '');
    return Object.hasOwn(CLASSES, name) ? CLASSES[name]! : null;
  }
  const own = typeof model_type === 'string' && Object.hasOwn(OF_MODELS, model_type);
  return own ? CLASSES[OF_MODELS[model_type]!]! : llama;
}
