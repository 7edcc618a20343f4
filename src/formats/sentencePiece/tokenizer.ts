import { LoraError } from '../../shared/errors';
import type { TokenizerFiles } from '../baseModel';
import { mergesFromScores, TOKEN_TYPE } from '../gguf/sentencePiece';
import {
  CLASS_NAMES,
  extraIdCount,
  TEXT,
  tokenizerClassOf,
  type Frame,
  type TokenizerClass,
} from './classes';
import { PIECE_TYPE, type SentencePieceModel } from './model';
import { stepsOf } from './steps';
import { addedTokens, namesIn, tokensOf, type SentencePieceFiles, type Tokens } from './tokens';

type Config = Readonly<Record<string, unknown>>;

/**
 * tokenizer.json and tokenizer_config.json for a SentencePiece file. T5, mT5, XLM-RoBERTa and
 * ALBERT have the steps of their tokenizer classes in transformers, all others the file's own
 * settings, with the ids of SentencePiece itself.
 *
 * @throws LoraError('tokenizer') for a tokenizer class that is not known
 */
export function tokenizerOfSentencePiece(
  files: SentencePieceFiles,
): Pick<TokenizerFiles, 'tokenizer' | 'config'> {
  const { model, config } = files;
  const own = knownClass(files);
  const names = { ...own.names, ...namesIn(config) };
  const tokens = tokensOf(files, own, names);
  return {
    config: { clean_up_tokenization_spaces: false, ...config, ...names },
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(tokens),
      ...stepsOf(model, own, config),
      post_processor: processorOf(own.frame(names, config), tokens),
      model: model.kind === 'unigram' ? unigram(model, tokens) : bpe(model, tokens),
    },
  };
}

function knownClass({ config, model_type, source }: SentencePieceFiles): TokenizerClass {
  const refused = (what: string) =>
    new LoraError('tokenizer', `${what} is not read from a SentencePiece file.`, {
      place: { file: source },
      fix: `Put the tokenizer.json of the model beside it. Classes that are read: ${CLASS_NAMES.join(', ')}.`,
    });
  const own = tokenizerClassOf(config, model_type);
  if (!own) throw refused(`The tokenizer class ${JSON.stringify(config['tokenizer_class'])}`);
  if (own.sentinels && extraIdCount(config) === null)
    throw refused(`A tokenizer with ${JSON.stringify(config['extra_ids'])} sentinels (extra_ids)`);
  if (config['split_by_punct'] === true && !own.may_split_marks)
    throw refused('A tokenizer of this class that splits at punctuation (split_by_punct)');
  return own;
}

const unigram = (
  { pieces, ids, byte_fallback }: SentencePieceModel,
  { entries, ids: all }: Tokens,
) => ({
  type: 'Unigram',
  unk_id: all.get(pieces[ids.unk]?.text ?? '') ?? ids.unk,
  vocab: entries,
  byte_fallback,
});

/** Only normal pieces are merged; those that the user defined are whole from the start. */
function bpe({ pieces, ids, byte_fallback }: SentencePieceModel, { entries }: Tokens) {
  const types = pieces.map(({ type }) => (type === PIECE_TYPE.normal ? type : TOKEN_TYPE.control));
  const merges = mergesFromScores(
    entries.map(([text]) => text),
    entries.map(([, score]) => score),
    types,
  );
  return {
    type: 'BPE',
    dropout: null,
    unk_token: pieces[ids.unk]?.text ?? null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback,
    ignore_merges: pieces.some(({ type }) => type === PIECE_TYPE.user_defined),
    vocab: Object.fromEntries(entries.map(([text], id) => [text, id])),
    merges,
  };
}

/** Special tokens around a text; a token that the vocabulary lacks is left out. */
function processorOf({ single, pair }: Frame, { ids }: Tokens): Config {
  const itemsOf = (items: Frame['single']) =>
    items.flatMap(([token, type_id]): Config[] => {
      if (TEXT.includes(token)) return [{ Sequence: { id: token, type_id } }];
      return ids.has(token) ? [{ SpecialToken: { id: token, type_id } }] : [];
    });
  const used = [...new Set(pair.map(([token]) => token))].filter((token) => ids.has(token));
  return {
    type: 'TemplateProcessing',
    single: itemsOf(single),
    pair: itemsOf(pair),
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [ids.get(token)], tokens: [token] }]),
    ),
  };
}
