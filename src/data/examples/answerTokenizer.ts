import { NO_LABEL } from '../../shared/task';
import { countOf } from '../../shared/values';
import type { ProblemCollector } from '../dataset/problems';
import type { TextRow } from '../rows/row';
import { encodeOnce } from '../tokenizer/encodeOnce';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { outsideFault } from '../tokenizer/vocabulary';
import type { AnswerExample } from './example';
import { specialTokenWarner, withWeight, type RowTokenizer } from './tokenizeRows';

export interface AnswerSettings {
  readonly tokenizer: Tokenizer;
  /** For the input of the encoder, and for that of the decoder. */
  readonly max_length: number;
  /** The token that the decoder starts with. */
  readonly start_id: number;
  /** Rows of the model's embedding. Default: the tokenizer's vocabulary. */
  readonly vocab_size?: number | undefined;
}

/**
 * Turns rows of seq2seq_lm into examples: the prompt is what the encoder reads, the completion what
 * the decoder writes. Each has the special tokens of its own text (`text_target` of transformers),
 * and the completion ends with the end-of-sequence token. Both are truncated to max_length; a
 * prompt keeps the special tokens at its end. What is wrong in a row is reported to `problems`.
 */
export function answerTokenizer(
  problems: ProblemCollector,
  settings: AnswerSettings,
): RowTokenizer<TextRow> {
  const { tokenizer } = settings;
  const warnOfSpecialTokens = specialTokenWarner(tokenizer, problems);
  return {
    problems,
    add: (row) => {
      if (row.kind !== 'completion') {
        problems.error('An encoder-decoder learns from a prompt and a completion.', row.line);
        return null;
      }
      warnOfSpecialTokens(row);
      const texts = {
        prompt: encodeOnce(tokenizer, row.prompt).ids,
        answer: answerIds(row.completion, tokenizer),
      };
      const fault = faultOf(texts, settings);
      if (fault !== null) {
        problems.error(fault, row.line);
        return null;
      }
      const example = exampleOf(row.line, texts, settings);
      const start = texts.prompt.length;
      const ids = [...texts.prompt, ...texts.answer];
      const labelled = [{ start, end: ids.length }];
      const encoded = { ids, labelled, unlearnt: [], findings: [] };
      return { example: withWeight(example, row), row, length: ids.length + 1, encoded };
    },
  };
}

interface EncodedTexts {
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

/** The tokens that a decoder is to write. */
function answerIds(text: string, tokenizer: Tokenizer): readonly number[] {
  const { ids } = encodeOnce(tokenizer, text);
  const end = tokenizer.eos_token_id;
  return end === null || ids.at(-1) === end ? ids : [...ids, end];
}

/** Why a row cannot be learned; null: it can. */
function faultOf(
  { prompt, answer }: EncodedTexts,
  { tokenizer, max_length, vocab_size = tokenizer.vocab_size }: AnswerSettings,
): string | null {
  const outside = [...prompt, ...answer].find((id) => id >= vocab_size);
  if (outside !== undefined) return outsideFault(outside, vocab_size, tokenizer);
  if (prompt.length === 0) return 'The prompt has no tokens: the encoder has nothing to read.';
  return max_length < 2
    ? `No label is left: max_length is ${max_length}, the answer has ${countOf(answer.length, 'token')} after the one that it starts with. Raise max_length.`
    : null;
}

function exampleOf(
  line: number,
  { prompt, answer }: EncodedTexts,
  { tokenizer, max_length, start_id }: AnswerSettings,
): AnswerExample {
  const learnt = answer.slice(0, max_length - 1);
  return {
    kind: 'answer',
    line,
    source: Int32Array.from(truncated(prompt, tokenizer.frame.after, max_length)),
    input_ids: Int32Array.of(start_id, ...learnt),
    labels: Int32Array.of(NO_LABEL, ...learnt),
  };
}

/** The first tokens, and the special ones at the end if the text had them. */
function truncated(
  ids: readonly number[],
  after: readonly number[],
  most: number,
): readonly number[] {
  if (ids.length <= most) return ids;
  const isFramed = after.length < most && after.every((id, i) => ids.at(i - after.length) === id);
  const end = isFramed ? after : [];
  return [...ids.slice(0, most - end.length), ...end];
}
