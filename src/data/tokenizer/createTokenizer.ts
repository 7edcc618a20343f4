import type { TokenizerFiles } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { loneSurrogate } from '../../shared/surrogates';
import { escapeRegExp, isObject } from '../../shared/values';
import type { ChatVariables } from '../chat/chat';
import { withReasoning } from '../chat/reasoning';
import { reservedVariable } from '../chat/reservedVariable';
import { compileChatTemplate, type ChatTemplate } from '../chat/template';
import { checkBpe } from './bpe/checkBpe';
import { loadBounded, type BoundedTokenizer } from './budget';
import { checkLimits } from './limits';
import { encodeInPieces, PIECE_LENGTH } from './longTexts';
import { completeTokenizerJson, namedTokens, toAddedToken, type AddedToken } from './tokenizerJson';
import type { SpecialTokenFrame, TokenPlace, Tokenizer } from './tokenizer';

export interface TokenizerOptions {
  /** The time for strftime_now in the chat template: the start of the run. Default: now. */
  readonly now?: Date;
  /** Variables that the chat template gets (chat_template_kwargs). Default: none. */
  readonly chat_template_kwargs?: ChatVariables;
}

/**
 * A tokenizer that gives the same ids as transformers.
 *
 * @throws LoraError('tokenizer') where the files do not describe a tokenizer.
 */
export function createTokenizer(files: TokenizerFiles, options: TokenizerOptions = {}): Tokenizer {
  const kwargs = checkedVariables(options.chat_template_kwargs);
  const limits = checkLimits(files.tokenizer, files.source);
  checkBpe(files.tokenizer['model'], files.source);
  const json = completeTokenizerJson(files.tokenizer, files.config, files.source);
  const bounded = loadBounded(json, files, limits);
  const { inner } = bounded;
  const added = json.added_tokens.map(toAddedToken);
  const names = namedTokens(files.config);
  const idOf = (name: keyof typeof names) =>
    names[name] === undefined ? null : (inner.token_to_id(names[name]) ?? null);
  const encodePlain = (text: string) => bounded.encode(text, false);
  const encode = (text: string, add_special_tokens = true) => {
    if (text.length <= PIECE_LENGTH) return bounded.encode(text, add_special_tokens);
    const ids = encodeInPieces(text, encodePlain);
    return add_special_tokens ? framed(ids, frameOf(bounded)) : ids;
  };
  const cleans_up = cleansUp(files);
  const template = templateOf(files, names, options.now ?? new Date());
  const renderChat: Tokenizer['renderChat'] = (messages, add_generation_prompt, variables) =>
    template().render(withReasoning(messages), add_generation_prompt, {
      ...kwargs,
      ...variables,
    });
  const splitAtSpecialTokens = specialTokenSplitter(added, json['normalizer'] === null);
  return {
    vocab_size: inner.model?.vocab.length ?? 0,
    bos_token_id: idOf('bos_token'),
    eos_token_id: idOf('eos_token'),
    pad_token_id: idOf('pad_token'),
    has_chat_template: files.chat_template !== null,
    chat_template: files.chat_template,
    special_tokens: new Map(
      added.filter((token) => token.special).map((token) => [token.content, token.id]),
    ),
    added_tokens: new Map(added.map((token) => [token.content, token.id])),
    encode,
    get frame() {
      return frameOf(bounded);
    },
    encodeAt: (text, offsets) =>
      encodeAt(splitAtSpecialTokens(text), offsets, (piece) => encode(piece, false)),
    decode: (ids, skip_special_tokens = false) =>
      ids.length === 0
        ? ''
        : bounded.decode([...ids], {
            skip_special_tokens,
            clean_up_tokenization_spaces: cleans_up,
          }),
    cleans_up,
    applyChatTemplate: (...chat) => renderChat(...chat).text,
    renderChat,
  };
}

/**
 * As in transformers 5: with BPE only where the config insists, because BPE's tokens contain their
 * spaces, and code would lose some.
 */
function cleansUp({ tokenizer, config }: TokenizerFiles): boolean {
  const { model } = tokenizer;
  const isBpe = isObject(model) && model['type'] === 'BPE';
  const insists =
    config['clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output'] === true;
  return config['clean_up_tokenization_spaces'] === true && (!isBpe || insists);
}

/** The ids with the special tokens around a text; a long list is not copied without need. */
function framed(ids: number[], { before, after }: SpecialTokenFrame): number[] {
  if (before.length > 0) ids.unshift(...before);
  ids.push(...after);
  return ids;
}

function checkedVariables(kwargs: ChatVariables = {}): ChatVariables {
  const lone = loneSurrogate(kwargs);
  if (lone !== undefined)
    throw new LoraError(
      'recipe',
      'chat_template_kwargs contains half of a surrogate pair (\\ud800 to \\udfff), which is not a character.',
      { place: { file: 'recipe', key: `chat_template_kwargs.${lone}` } },
    );
  const reserved = reservedVariable(kwargs);
  if (reserved === undefined) return kwargs;
  throw new LoraError('recipe', `"${reserved}" cannot be set by chat_template_kwargs.`, {
    place: { file: 'recipe', key: `chat_template_kwargs.${reserved}` },
    fix: 'Name variables of the chat template only.',
  });
}

/**
 * Found by encoding two short texts as a pair. Without a template for pairs, the library encodes
 * only the first.
 */
function frameOf(tokenizer: BoundedTokenizer): SpecialTokenFrame {
  const [a, b] = ['a', 'b'].map((text) =>
    tokenizer.encodeUnmerged(text, { add_special_tokens: false }),
  ) as [number[], number[]];
  const ids = tokenizer.encodeUnmerged('a', { text_pair: 'b' });
  const placeOf = (own: readonly number[], from: number) =>
    ids.findIndex((_, i) => i >= from && own.every((id, j) => ids[i + j] === id));
  const first = Math.max(0, placeOf(a, 0));
  const end = first + a.length;
  const second = placeOf(b, end);
  if (second < 0) return { before: ids.slice(0, first), between: [], after: ids.slice(end) };
  return {
    before: ids.slice(0, first),
    between: ids.slice(end, second),
    after: ids.slice(second + b.length),
  };
}

/** Compiled at first use, so that an invalid template is no error for those who do not need it. */
function templateOf(
  files: TokenizerFiles,
  tokens: Readonly<Record<string, string>>,
  now: Date,
): () => ChatTemplate {
  let compiled: ChatTemplate | undefined;
  return () => {
    if (files.chat_template === null) {
      throw new LoraError(
        'tokenizer',
        'The base model has no chat template, so chats cannot be written as text.',
        {
          place: { file: files.source },
          fix: 'Use an instruct version of the model, or rows of {"prompt", "completion"} or {"text"}.',
        },
      );
    }
    return (compiled ??= compileChatTemplate(
      files.chat_template,
      tokens,
      files.chat_template_file ?? files.source,
      now,
    ));
  };
}

/**
 * Splits a text before each special token, where the pieces have the same ids as the whole. Not
 * before tokens that consume the space to their left (lstrip) or are matched in normalized text.
 */
function specialTokenSplitter(
  added: readonly AddedToken[],
  noNormalizer: boolean,
): (text: string) => string[] {
  const contents = added
    .filter((t) => t.special && !t.lstrip && (noNormalizer || !t.normalized))
    .map((t) => t.content);
  if (contents.length === 0) return (text) => [text];
  const longestFirst = contents.sort((a, b) => b.length - a.length).map(escapeRegExp);
  const special = new RegExp(longestFirst.join('|'), 'g');
  return (text) => {
    const cuts = [0, ...Array.from(text.matchAll(special), (match) => match.index), text.length];
    return cuts.slice(1).map((end, i) => text.slice(cuts[i], end));
  };
}

function encodeAt(
  pieces: readonly string[],
  offsets: readonly number[],
  encode: (piece: string) => number[],
) {
  const ids: number[] = [];
  const places: TokenPlace[] = [];
  let start = 0;
  for (const piece of pieces) {
    const own = encode(piece);
    for (
      let offset = offsets[places.length];
      offset !== undefined && offset < start + piece.length;
      offset = offsets[places.length]
    ) {
      places.push(
        placeIn(own, offset === start ? [] : encode(piece.slice(0, offset - start)), ids.length),
      );
    }
    for (const id of own) ids.push(id);
    start += piece.length;
  }
  while (places.length < offsets.length) places.push({ before: ids.length, reached: ids.length });
  return { ids, places };
}

/**
 * Compares the tokens of a piece with those of its text before an offset: the common ones end
 * before the offset; if the latter has more, a token of the piece spans it.
 */
function placeIn(whole: readonly number[], before: readonly number[], base: number): TokenPlace {
  let n = 0;
  while (n < whole.length && n < before.length && whole[n] === before[n]) n++;
  return { before: base + n, reached: base + n + (n < before.length ? 1 : 0) };
}
