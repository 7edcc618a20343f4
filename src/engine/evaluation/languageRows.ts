import { paddingId } from '../../data/examples/batch';
import { NO_IMAGES, withImages, type RowImages } from '../../data/examples/rowImages';
import type { Chat } from '../../data/chat/chat';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { needsProbabilities } from '../../shared/evaluation/metrics';
import type { EvaluatedCell } from '../../shared/evaluation/result';
import type { CheckOf } from '../../shared/evaluation/suite';
import {
  chatTokens,
  partsOf,
  promptIds,
  stopIds,
  textPartsOf,
  type PromptTokens,
} from '../model/answer';
import type { BatchScheduler } from '../serve/batchScheduler';
import type { AdapterMix } from '../serve/servedModels';
import { cellOf, chatOf, failedCell, type AnswerRows, type AnswerSettings } from './cells';
import { rightChoice, type CheckedAnswer } from './checkAnswer';
import {
  isSharedSooner,
  logProbabilitiesAfter,
  logProbabilitiesOf,
  type MeasuredText,
} from './likelihood';
import type { SuiteCase } from './suiteFile';
import type { SuiteImages } from './suiteImages';

/** Answers that are written at the same time. */
export const PARALLEL_ANSWERS = 8;

/** A language model in memory, under one column. */
export interface LanguageModel {
  readonly scheduler: Pick<BatchScheduler, 'generate'>;
  readonly mix: AdapterMix;
  readonly tokenizer: Tokenizer;
  readonly vocab_size: number;
  /** Reads the images of rows, by the file of their suite. */
  readonly imagesOf: SuiteImages;
  /** Tokens that it has positions for. */
  readonly positions: number;
  /** Of an encoder-decoder the token that its answers begin with; null: another kind of model. */
  readonly start_id: number | null;
  /** The model with the mix, until the next answer is written. */
  readonly model: () => Promise<Model>;
}

/** Answers and measures rows by a language model. */
export function languageRows(
  own: LanguageModel,
  settings: AnswerSettings,
  signal: AbortSignal,
): AnswerRows {
  return async (cases, onCell) => {
    const measured = ({ row }: SuiteCase) => needsProbabilities(row.check.kind);
    const asked = cases.filter((item) => !measured(item));
    const work = async () => {
      for (let next = asked.shift(); next && !signal.aborted; next = asked.shift())
        onCell(next, await answered(own, next, { settings, signal }));
    };
    await Promise.all(Array.from({ length: PARALLEL_ANSWERS }, work));
    await measureRows(own, cases.filter(measured), { onCell, signal });
  };
}

/** Whether a row can be asked by a chat template only. */
export const needsTemplate = ({ row: { messages, system, tools } }: SuiteCase): boolean =>
  (messages ?? system ?? tools) !== undefined;

/**
 * Refuses rows that the base has no chat template for.
 *
 * @throws LoraError('dataset')
 */
export function checkTemplates(cases: readonly SuiteCase[], tokenizer: Tokenizer): void {
  const refuse = ({ file, line }: SuiteCase, what: string) =>
    new LoraError('dataset', what, { place: { file, line } });
  for (const item of cases) {
    const chat = chatOf(item);
    if (!chat) continue;
    const { tools } = item.row;
    if (!tokenizer.has_chat_template && needsTemplate(item))
      throw refuse(item, 'The base has no chat template, which the row needs.');
    if (!tools) continue;
    const text = (given: object | null) =>
      tokenizer.applyChatTemplate(chat.messages, true, { tools: given });
    if (text(tools) === text(null))
      throw refuse(item, "The base's chat template leaves out the tools of the row.");
  }
}

interface Asking {
  readonly settings: AnswerSettings;
  readonly signal: AbortSignal;
}

async function answered(
  { scheduler, mix, tokenizer, imagesOf }: LanguageModel,
  item: SuiteCase,
  { settings: { temperature, seed, max_new_tokens }, signal }: Asking,
): Promise<EvaluatedCell> {
  const started = performance.now();
  const ids: number[] = [];
  try {
    const { reason } = await scheduler.generate({
      ...promptOf(item, tokenizer, imagesOf),
      mix,
      max_new_tokens: item.row.max_new_tokens ?? max_new_tokens,
      sampling: { temperature, seed: seed + item.index },
      constraint: null,
      top_logprobs: null,
      onToken: (id) => {
        ids.push(id);
        return true;
      },
      signal,
    });
    if (reason === 'ended') return failedCell('The evaluation was stopped.');
    const seconds = (performance.now() - started) / 1000;
    return cellOf(item, answerOf(item, ids, tokenizer), seconds);
  } catch (error) {
    return failedCell(reasonOf(error));
  }
}

/** A row that is too long, or that the chat template rejects, fails alone. */
function reasonOf(error: unknown): string {
  if (error instanceof LoraError) return error.message;
  throw error;
}

/** A prompt is a message where the base has a chat template. */
const isChat = (item: SuiteCase, tokenizer: Tokenizer): boolean =>
  chatOf(item) !== null && tokenizer.has_chat_template;

function promptOf(item: SuiteCase, tokenizer: Tokenizer, imagesOf: SuiteImages): PromptTokens {
  const chat = isChat(item, tokenizer) ? chatOf(item) : null;
  const stop_ids = stopIds(tokenizer, chat?.variables);
  return chat
    ? { ...chatTokens(tokenizer, chat, imagesOf(item.file)), stop_ids }
    : { input_ids: promptIds(tokenizer, item.row.prompt ?? '', false), stop_ids };
}

function answerOf(item: SuiteCase, ids: readonly number[], tokenizer: Tokenizer): CheckedAnswer {
  if (!isChat(item, tokenizer))
    return { content: tokenizer.decode([...ids], true), calls: [], isFaulty: false };
  const raw = tokenizer.decode([...ids], false);
  const { tools, check } = item.row;
  const variables = tools ? { tools } : {};
  const mayCall = tools !== undefined || check.kind === 'tool_calls';
  return mayCall
    ? partsOf(tokenizer, raw, variables)
    : { ...textPartsOf(tokenizer, raw, variables), calls: [], isFaulty: false };
}

interface Measuring {
  readonly onCell: (item: SuiteCase, cell: EvaluatedCell) => void;
  readonly signal: AbortSignal;
}

/** A row and the texts that it is measured by. */
interface MeasuredRow {
  readonly item: SuiteCase;
  readonly texts: readonly MeasuredText[];
}

async function measureRows(
  own: LanguageModel,
  cases: readonly SuiteCase[],
  { onCell, signal }: Measuring,
): Promise<void> {
  if (cases.length === 0) return;
  const rows: MeasuredRow[] = [];
  for (const item of cases) {
    const texts = textsOf(item, own);
    if (typeof texts === 'string') onCell(item, failedCell(texts));
    else rows.push({ item, texts });
  }
  const model = await own.model();
  const pad_id = paddingId(own.tokenizer, own.vocab_size);
  const sooner = ({ item, texts }: MeasuredRow) =>
    own.start_id === null &&
    item.row.check.kind === 'choice' &&
    !isPictured({ texts }) &&
    isSharedSooner(texts);
  const decoder = model.decoder();
  for (const { item, texts } of rows.filter(sooner)) {
    if (signal.aborted) return;
    onCell(item, measuredCell(item, texts, await logProbabilitiesAfter(decoder, texts)));
  }
  for (const { item, texts } of rows.filter(isPictured)) {
    if (signal.aborted) return;
    onCell(item, await picturedCell(item, texts, { model, pad_id }));
  }
  // a few rows at a time, so that their cells come early
  const others = rows.filter((row) => !sooner(row) && !isPictured(row));
  for (let start = 0; start < others.length && !signal.aborted; start += MEASURED_AT_ONCE) {
    const part = others.slice(start, start + MEASURED_AT_ONCE);
    const all = part.flatMap(({ texts }) => texts);
    const sums = await logProbabilitiesOf(model, all, pad_id);
    let at = 0;
    for (const { item, texts } of part) {
      onCell(item, measuredCell(item, texts, sums.subarray(at, at + texts.length)));
      at += texts.length;
    }
  }
}

const MEASURED_AT_ONCE = 64;

const isPictured = ({ texts }: Pick<MeasuredRow, 'texts'>): boolean =>
  texts.some(({ images }) => images);

/** Of a row with images, which is measured alone: one that cannot be decoded fails only its row. */
async function picturedCell(
  item: SuiteCase,
  texts: readonly MeasuredText[],
  { model, pad_id }: { readonly model: Model; readonly pad_id: number },
): Promise<EvaluatedCell> {
  try {
    await model.loadImages();
    return measuredCell(item, texts, await logProbabilitiesOf(model, texts, pad_id));
  } catch (error) {
    return failedCell(reasonOf(error));
  }
}

/** The texts that a row is measured by: its text, answer or choices; or why there are none. */
function textsOf(item: SuiteCase, own: LanguageModel): readonly MeasuredText[] | string {
  const { check, text } = item.row;
  const { tokenizer, positions } = own;
  try {
    const texts =
      check.kind === 'perplexity' && text !== undefined
        ? [{ ids: tokenizer.encode(text, true), from: 1 }]
        : continuationsOf(check).map((answer) => continued(item, answer, own));
    if (texts.some(({ ids, from }) => ids.length <= from))
      return 'The text has no token to measure.';
    const longest = Math.max(...texts.map(({ ids }) => ids.length));
    return longest <= positions
      ? texts
      : `The row has ${longest} tokens, the model has positions for ${positions}.`;
  } catch (error) {
    return reasonOf(error);
  }
}

const continuationsOf = (check: SuiteCase['row']['check']): readonly string[] => {
  if (check.kind === 'choice') return check.choices;
  return check.kind === 'perplexity' && check.expected !== undefined ? [check.expected] : [];
};

/**
 * A prompt with an answer as one text, as lm-evaluation-harness has it. A token that begins in the
 * prompt and ends in the answer is measured. With an encoder-decoder the answer stands alone, as
 * there, after the start token and without the token that ends it.
 */
function continued(
  item: SuiteCase,
  answer: string,
  { tokenizer, start_id, imagesOf }: Pick<LanguageModel, 'tokenizer' | 'start_id' | 'imagesOf'>,
): MeasuredText {
  if (start_id !== null) {
    const { input_ids: source } = promptOf(item, tokenizer, () => NO_IMAGES);
    return { ids: [start_id, ...tokenizer.encode(answer, false)], from: 1, source };
  }
  const chat = isChat(item, tokenizer) ? chatOf(item) : null;
  const prompt = chat
    ? tokenizer.applyChatTemplate(chat.messages, true, chat.variables)
    : (item.row.prompt ?? '');
  const head = tokenizer.encode(prompt, chat === null);
  const ids = tokenizer.encode(prompt + answer, chat === null);
  let from = 0;
  while (from < head.length && head[from] === ids[from]) from++;
  const measured = { ids, from: Math.max(1, from) };
  return chat ? pictured(measured, chat, imagesOf(item.file)) : measured;
}

/** A text with the tokens of its images in their places. */
function pictured({ ids, from }: MeasuredText, chat: Chat, images: RowImages): MeasuredText {
  const labelled = [{ start: from, end: ids.length }];
  const encoded = withImages({ ids, labelled, unlearnt: [], findings: [] }, chat, images);
  const { images: placed, reader } = encoded;
  return placed && reader
    ? { ids: encoded.ids, from: encoded.labelled[0]!.start, images: { placed, reader } }
    : { ids, from };
}

function measuredCell(
  item: SuiteCase,
  texts: readonly MeasuredText[],
  sums: Float64Array,
): EvaluatedCell {
  const { check } = item.row;
  if (check.kind === 'choice') return choiceCell(check, sums);
  const [only] = texts;
  return {
    ...failedCell(''),
    error: null,
    scores: {},
    loss: { sum: -sums[0]!, tokens: only!.ids.length - only!.from },
  };
}

function choiceCell(check: CheckOf<'choice'>, sums: Float64Array): EvaluatedCell {
  const right = rightChoice(check);
  const perByte = check.choices.map((choice, i) => sums[i]! / Buffer.byteLength(choice));
  const chosen = largestOf([...sums]);
  const chosenPerByte = largestOf(perByte);
  return {
    ...failedCell(''),
    error: null,
    answer: check.choices[chosen]!,
    scores: {
      choice: chosen === right ? 1 : 0,
      choice_norm: chosenPerByte === right ? 1 : 0,
    },
    reason: chosen === chosenPerByte ? '' : `per byte of text: "${check.choices[chosenPerByte]!}"`,
  };
}

/** Of equal ones the first. */
const largestOf = (values: readonly number[]): number => values.indexOf(Math.max(...values));
