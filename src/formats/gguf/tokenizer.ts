import { LoraError } from '../../shared/errors';
import type { TokenizerFiles } from '../baseModel';
import { encoderEnds, pairingOf, type Ends, type NamedToken } from './encoderFrame';
import type { Metadata } from './metadata';
import { PRE_TOKENIZERS, type PreTokenizer } from './preTokenizers';
import { mergesFromScores, sentencePieceParts, TOKEN_TYPE } from './sentencePiece';
import { unigramParts } from './unigram';
import { BERT_IDS, wordPieceParts, wordPieces } from './wordPiece';
import { countOf } from '../../shared/values';

const FOLDER = "Use the model's safetensors folder with its tokenizer.json.";

/** The differences between the kinds of tokenizers. */
interface Kind {
  readonly parts: Readonly<Record<string, unknown>>;
  readonly add_bos: boolean;
  /** Not given: no. */
  readonly add_eos?: true;
  /** The tokens in the original vocabulary. Not given: those of the file. */
  readonly pieces?: readonly string[];
  /** The post-processor, and further names of tokens. Not given: by what the file adds. */
  readonly ends?: Ends;
}

/**
 * tokenizer.json and tokenizer_config.json of the original checkpoint, from the metadata.
 *
 * @throws LoraError('tokenizer') when the file has none, or one of an unsupported kind.
 */
export function readGgufTokenizer(metadata: Metadata): TokenizerFiles {
  if (!metadata.has('tokenizer.ggml.model'))
    throw new LoraError('tokenizer', 'The GGUF file has no tokenizer.', {
      place: { file: metadata.file },
      fix: 'Use a file that was converted with its tokenizer.',
    });
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const types = metadata.has('tokenizer.ggml.token_type')
    ? metadata.numbers('tokenizer.ggml.token_type')
    : [];
  const kind = kindOf(metadata, tokens, types);
  const { parts, add_bos, add_eos = false, pieces = tokens } = kind;
  const own = kind.ends ?? endsOfEncoder(metadata, tokens);
  const ends = {
    bos: metadata.boolean('tokenizer.ggml.add_bos_token', add_bos)
      ? tokenAt(metadata, tokens, 'bos')
      : null,
    eos: metadata.boolean('tokenizer.ggml.add_eos_token', add_eos)
      ? tokenAt(metadata, tokens, 'eos')
      : null,
  };
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(pieces, types, own?.names['mask_token']),
      ...parts,
      post_processor: own?.post_processor ?? endsProcessor(ends.bos, ends.eos),
    },
    config: {
      ...(own?.names ?? namedTokens(metadata, tokens)),
      add_bos_token: ends.bos !== null,
      add_eos_token: ends.eos !== null,
      clean_up_tokenization_spaces: false,
    },
    chat_template: metadata.has('tokenizer.chat_template')
      ? metadata.string('tokenizer.chat_template')
      : null,
    source: metadata.file,
  };
}

function kindOf(metadata: Metadata, tokens: readonly string[], types: readonly number[]): Kind {
  const kind = metadata.string('tokenizer.ggml.model');
  switch (kind) {
    case 'gpt2':
      return byteLevelBpe(metadata, tokens);
    case 'llama':
      return sentencePiece(metadata, tokens, types);
    case 'gemma4':
      return mergedPieces(metadata, tokens);
    case 'bert':
      return wordPiece(metadata, tokens, types);
    case 't5':
      return { add_bos: false, add_eos: true, parts: unigramParts(metadata, tokens, types) };
    default:
      throw new LoraError(
        'tokenizer',
        `Tokenizers of the kind "${kind}" are not supported in GGUF files, only gpt2 (BPE), llama (SentencePiece), gemma4 (its merges), t5 (Unigram) and bert (WordPiece).`,
        {
          place: { file: metadata.file, key: 'tokenizer.ggml.model' },
          fix: FOLDER,
        },
      );
  }
}

function byteLevelBpe(metadata: Metadata, tokens: readonly string[]): Kind {
  const { splits, ignore_merges, add_bos, nfc } = preTokenizer(metadata);
  const bytes = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  const isolated = splits.map((Regex) => ({
    type: 'Split',
    pattern: { Regex },
    behavior: 'Isolated',
    invert: false,
  }));
  const merges = mergesIn(metadata);
  return {
    add_bos,
    parts: {
      normalizer: nfc ? { type: 'NFC' } : null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [...isolated, bytes] },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: bpe(tokens, merges, {
        ignore_merges,
        byte_fallback: false,
        fuse_unk: false,
        unk_token: null,
      }),
    },
  };
}

function preTokenizer(metadata: Metadata): PreTokenizer {
  const key = 'tokenizer.ggml.pre';
  const name = metadata.has(key) ? metadata.string(key) : null;
  const known = PRE_TOKENIZERS.get(name ?? '');
  if (known) return known;
  const what =
    name === null ? `${key} is missing, as in files from before May 2024` : `${key} is "${name}"`;
  throw new LoraError(
    'tokenizer',
    `The pre-tokenizer is not supported: ${what}. Supported: ${[...PRE_TOKENIZERS.keys()].join(', ')}.`,
    { place: { file: metadata.file, key }, fix: FOLDER },
  );
}

const mergesIn = (metadata: Metadata): [string, string][] =>
  metadata.strings('tokenizer.ggml.merges').map((merge) => splitMerge(merge, metadata));

/** "a b" -> [a, b]. Neither part contains a space, which byte-level BPE writes as Ġ. */
function splitMerge(merge: string, { file }: Metadata): [string, string] {
  const at = merge.indexOf(' ', 1);
  if (at < 0)
    throw new LoraError(
      'tokenizer',
      `The GGUF file's metadata is not usable: ${JSON.stringify(merge)} is not a merge of two tokens.`,
      { place: { file, key: 'tokenizer.ggml.merges' } },
    );
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function sentencePiece(
  metadata: Metadata,
  tokens: readonly string[],
  types: readonly number[],
): Kind {
  const merges = mergesFromScores(tokens, metadata.numbers('tokenizer.ggml.scores'), types);
  const unk_token = tokenAt(metadata, tokens, 'unknown')?.content ?? tokens[0] ?? null;
  return {
    add_bos: true,
    parts: {
      ...sentencePieceParts(metadata.boolean('tokenizer.ggml.add_space_prefix', true)),
      model: bpe(tokens, merges, {
        ignore_merges: false,
        byte_fallback: true,
        fuse_unk: true,
        unk_token,
      }),
    },
  };
}

/**
 * The tokens around the texts of RoBERTa, XLM-RoBERTa and ModernBERT; null for other models, and
 * where the file says that there are none.
 */
function endsOfEncoder(metadata: Metadata, tokens: readonly string[]): Ends | null {
  const pairing = pairingOf(metadata);
  const isFramed = ['bos', 'eos'].every((name) =>
    metadata.boolean(`tokenizer.ggml.add_${name}_token`, true),
  );
  if (pairing === null || !isFramed) return null;
  const own = (name: TokenName) => tokenAt(metadata, tokens, name);
  const cls = own('cls') ?? own('bos');
  const sep = own('seperator') ?? own('eos');
  if (!cls || !sep)
    throw new LoraError('tokenizer', 'The file does not say which tokens begin and end a text.', {
      place: {
        file: metadata.file,
        key: `tokenizer.ggml.${cls ? 'eos' : 'bos'}_token_id`,
      },
      fix: FOLDER,
    });
  return encoderEnds(
    { cls, sep, unk: own('unknown'), pad: own('padding'), mask: own('mask') },
    pairing,
  );
}

/** BERT's pieces, with [CLS] before a text and [SEP] after it. */
function wordPiece(metadata: Metadata, tokens: readonly string[], types: readonly number[]): Kind {
  const pieces = wordPieces(metadata, tokens, types);
  const own = (name: keyof typeof BERT_IDS) => tokenAt(metadata, pieces, name, BERT_IDS[name])!;
  const [cls, sep, unk] = [own('cls'), own('seperator'), own('unknown')];
  const pad = tokenAt(metadata, pieces, 'padding', 0);
  const mask = tokenAt(metadata, pieces, 'mask');
  return {
    add_bos: false,
    pieces,
    parts: wordPieceParts(metadata, pieces, unk.content),
    ends: encoderEnds({ cls, sep, unk, pad, mask }, 'bert'),
  };
}

/** Gemma 4's pieces, whose file has the merges themselves. */
function mergedPieces(metadata: Metadata, tokens: readonly string[]): Kind {
  const unk_token = tokenAt(metadata, tokens, 'unknown')?.content ?? null;
  const flags = { ignore_merges: false, byte_fallback: true, fuse_unk: true, unk_token };
  return {
    add_bos: true,
    parts: {
      ...sentencePieceParts(metadata.boolean('tokenizer.ggml.add_space_prefix', false)),
      model: bpe(tokens, mergesIn(metadata), flags),
    },
  };
}

function bpe(
  tokens: readonly string[],
  merges: readonly (readonly [string, string])[],
  flags: Readonly<Record<string, unknown>>,
) {
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return {
    type: 'BPE',
    dropout: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    ...flags,
    vocab,
    merges,
  };
}

/**
 * Tokens that are matched in a text before it is split: control, unknown and user-defined ones.
 *
 * @param mask Takes the spaces before it; not given: none does.
 */
function addedTokens(tokens: readonly string[], types: readonly number[], mask?: string) {
  return tokens.flatMap((content, id) => {
    const special = types[id] === TOKEN_TYPE.control || types[id] === TOKEN_TYPE.unknown;
    return special || types[id] === TOKEN_TYPE.user_defined
      ? [
          {
            id,
            content,
            single_word: false,
            lstrip: content === mask,
            rstrip: false,
            normalized: false,
            special,
          },
        ]
      : [];
  });
}

/** GGUF's names of tokens; that of the separator is written so in its files. */
type TokenName = 'bos' | 'eos' | 'padding' | 'unknown' | 'cls' | 'seperator' | 'mask';

/**
 * The file's token of a name; null: none. Invalid ids of padding and unknown tokens are ignored,
 * since converters write them for models that have none.
 *
 * @param missing The id where the file names none; it must be there.
 */
function tokenAt(
  metadata: Metadata,
  tokens: readonly string[],
  name: TokenName,
  missing?: number,
): NamedToken | null {
  const key = `tokenizer.ggml.${name}_token_id`;
  if (missing === undefined && !metadata.has(key)) return null;
  const id = metadata.number(key, missing);
  const content = tokens[id];
  if (content !== undefined) return { id, content };
  if (missing === undefined && (name === 'padding' || name === 'unknown')) return null;
  throw new LoraError(
    'tokenizer',
    `${key} is ${id}, but the file has only ${countOf(tokens.length, 'token')}.`,
    {
      place: { file: metadata.file, key },
    },
  );
}

/** The post-processor that adds bos before and eos after a text. */
function endsProcessor(bos: NamedToken | null, eos: NamedToken | null) {
  if (!bos && !eos) return null;
  const at = (token: NamedToken | null, type_id: number) =>
    token ? [{ SpecialToken: { id: token.content, type_id } }] : [];
  const text = (id: string, type_id: number) => [
    ...at(bos, type_id),
    { Sequence: { id, type_id } },
    ...at(eos, type_id),
  ];
  const used = [bos, eos].filter((token) => token !== null);
  return {
    type: 'TemplateProcessing',
    single: text('A', 0),
    pair: [...text('A', 0), ...text('B', 1)],
    special_tokens: Object.fromEntries(
      used.map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }]),
    ),
  };
}

function namedTokens(metadata: Metadata, tokens: readonly string[]): Record<string, string> {
  const names = {
    bos_token: 'bos',
    eos_token: 'eos',
    pad_token: 'padding',
    unk_token: 'unknown',
  } as const;
  return Object.fromEntries(
    Object.entries(names).flatMap(([name, key]) => {
      const token = tokenAt(metadata, tokens, key);
      return token ? [[name, token.content]] : [];
    }),
  );
}
