import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { contentOf, type Chat, type ChatVariables, type Message } from '../../data/chat/chat';
import type { Dataset } from '../../data/dataset/dataset';
import { ProblemCollector, throwErrors } from '../../data/dataset/problems';
import { tokenizeRows } from '../../data/dataset/tokenizedDataset';
import { answerTokenizer } from '../../data/examples/answerTokenizer';
import { collate, paddingId } from '../../data/examples/batch';
import { withBatchImages } from '../../data/examples/batchImages';
import { asChat } from '../../data/examples/encodeRow';
import type { Example, TokenExample } from '../../data/examples/example';
import type { Examples } from '../../data/examples/examples';
import type { RowImages } from '../../data/examples/rowImages';
import { openChatImages } from '../../data/images/chatImages';
import { rowImagesOf } from '../../data/dataset/prepare';
import { sampleAnswers, type SampleAnswer } from '../../data/examples/sampleRows';
import { textTokenizer, type RowTokenizer } from '../../data/examples/tokenizeRows';
import type { TextRow } from '../../data/rows/row';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import type { DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { plainJson } from '../../shared/exactValues';
import type { ObjectiveMethod } from '../../shared/objective';
import { RecipeSchema } from '../../shared/recipe';
import { countOf } from '../../shared/values';
import { answerPrompt } from '../model/answer';
import { loadTokenizer, type LoadedModel } from '../model/openModel';
import { warnOfProblems } from '../report';
import { answerCalls, callQuestions, type AnsweredCalls } from '../tasks/callRows';
import { callShares, type CheckedCalls } from '../tasks/callScores';
import { evaluateExamples } from '../tasks/evaluate';
import { printResult, type CommandContext } from './context';
import {
  describeSources,
  readSource,
  settingOf,
  sourceFacts,
  together,
  type EvaluatedSource,
} from './evaluatedSources';

/** What is evaluated, and how. */
export interface EvaluateSettings {
  /** At least one. */
  readonly sources: readonly DatasetSource[];
  readonly exact: boolean;
  readonly objective: ObjectiveMethod;
  readonly calls: boolean;
  /** Null: none but those of the rows. */
  readonly tools: readonly object[] | null;
  readonly max_length: number;
  readonly max_new_tokens: number;
  readonly chat_template_kwargs: ChatVariables;
}

interface Answer {
  readonly prompt: string;
  readonly expected: string;
  readonly completion: string;
  readonly right: boolean;
}

/** A source with the answers to its rows; none where they are not asked for. */
interface EvaluatedText extends EvaluatedSource {
  readonly answers: readonly Answer[];
  readonly checked: readonly AnsweredCalls[];
}

/** Loss of a language model, and on request how many answers are right. @throws LoraError */
export async function evaluateText(
  loaded: LoadedModel,
  settings: EvaluateSettings,
  context: CommandContext,
): Promise<void> {
  const { sources, exact, calls } = settings;
  const tokenizer = await loadTokenizer(loaded.base, settings);
  const parts: EvaluatedText[] = [];
  for (const source of sources)
    parts.push(await evaluateSource(loaded, source, { tokenizer, settings, warn: context.warn }));
  const checked = parts.flatMap((part) => part.checked);
  if (calls && checked.length === 0)
    throw new LoraError('usage', 'No row has tools or an answer that calls one.', {
      place: { file: sources[0]!.path },
      fix: 'Leave out --calls, or give the tools with --tools.',
    });
  const answers = parts.flatMap((part) => part.answers);
  printText(context, parts, { answers: exact ? answers : null, calls: calls ? checked : null });
}

interface TextEvaluation {
  readonly tokenizer: Tokenizer;
  readonly settings: EvaluateSettings;
  readonly warn: (message: string) => void;
}

async function evaluateSource(
  { base, model }: LoadedModel,
  source: DatasetSource,
  { tokenizer, settings, warn }: TextEvaluation,
): Promise<EvaluatedText> {
  const { exact, calls, tools, max_length } = settings;
  const { task } = base.spec;
  const parsed = v.parse(RecipeSchema, { base: base.path, dataset: settingOf(source), task });
  const rows = { ...parsed, tools };
  const { datasets } = await readSource(rows, null);
  const { vocab_size, source: encoder } = base.spec;
  const chat_images = await openChatImages(base);
  const reading = { chat_images, family: base.spec.family };
  const { examples, hasImages, exchanges, called, close } = await tokenizeTexts(datasets, {
    exact,
    calls,
    imagesOf: (file) => rowImagesOf(file, reading),
    tokenizer: (problems, images) => {
      const own = { tokenizer, max_length, vocab_size };
      return encoder
        ? answerTokenizer(problems, { ...own, start_id: encoder.start_id })
        : textTokenizer(problems, { ...own, labels: 'assistant', rows, images });
    },
    warn,
  });
  try {
    if (hasImages) await model.loadImages();
    const padId = paddingId(tokenizer, vocab_size);
    const { scores: own, ...result } = await evaluateExamples(model, examples, {
      task: 'causal_lm',
      labels: null,
      pairs_per_batch: 1,
      collate: (batch: readonly Example[]) => {
        const own = batch as readonly TokenExample[];
        return Promise.resolve(withBatchImages(collate(own, padId), own, chat_images));
      },
    });
    const isChat = encoder === undefined;
    const answers = await answerRows(exchanges, { model, tokenizer, settings, isChat });
    const checked: AnsweredCalls[] = [];
    for (const question of callQuestions(called, tokenizer))
      checked.push(await answerCalls(model, tokenizer, question));
    const exactly = exact ? { exact: countRight(answers) } : {};
    const scores = { ...own, ...exactly, ...callShares(checked) };
    return { source, examples: examples.length, ...result, scores, answers, checked };
  } finally {
    close();
  }
}

interface TextSource {
  /** Keep the last exchange of each row. */
  readonly exact: boolean;
  /** Keep the answers of each row, which may call tools. */
  readonly calls: boolean;
  /** Reads those of the rows of a file. */
  readonly imagesOf: (file: string) => RowImages;
  readonly tokenizer: (problems: ProblemCollector, images: RowImages) => RowTokenizer<TextRow>;
  readonly warn: (message: string) => void;
}

/** The examples of texts, and the exchanges to answer. The caller closes them. */
async function tokenizeTexts(
  datasets: readonly Dataset[],
  { exact, calls, imagesOf, tokenizer, warn }: TextSource,
): Promise<{
  readonly examples: Examples;
  readonly hasImages: boolean;
  readonly exchanges: readonly Exchange[];
  readonly called: readonly SampleAnswer[];
  readonly close: () => void;
}> {
  const exchanges: Exchange[] = [];
  const called: SampleAnswer[] = [];
  const rows = datasets.map((dataset) => {
    const images = imagesOf(dataset.path);
    const texts = tokenizer(new ProblemCollector(dataset.path), images);
    const collecting: RowTokenizer = {
      problems: texts.problems,
      add: (row) => {
        const tokenized = texts.add(row as TextRow);
        if (tokenized && exact) exchanges.push(...lastExchange(tokenized.row, images));
        if (tokenized && calls) called.push(...sampleAnswers(tokenized));
        return tokenized;
      },
    };
    return { dataset, tokenizer: collecting };
  });
  const scratch = path.join(tmpdir(), `evaluate.${randomUUID()}.${process.pid}.tmp`);
  const settings = { scratch, image_length: 1 };
  const { examples, facts, problems, close } = await tokenizeRows(rows, settings);
  throwErrors(problems);
  warnOfProblems([...datasets.flatMap((own) => own.problems), ...problems], warn);
  return { examples, hasImages: facts.hasImages, exchanges, called, close };
}

/** Answers to the rows of all sources; null: not asked for. */
interface TextAnswers {
  readonly answers: readonly Answer[] | null;
  readonly calls: readonly AnsweredCalls[] | null;
}

function printText(
  context: CommandContext,
  parts: readonly EvaluatedText[],
  { answers, calls }: TextAnswers,
): void {
  const { examples, labelled, loss } = together(parts);
  const facts = {
    examples,
    labelled_tokens: labelled,
    loss,
    perplexity: Math.exp(loss),
    ...(answers && { exact: countRight(answers), answers }),
    ...(calls && { ...callShares(calls), calls: calls.map((own) => plainJson(own)) }),
    ...sourceFacts(parts),
  };
  printResult(context, facts, () =>
    [
      ...describeText(loss, labelled, answers),
      ...(calls ? [describeCalls(calls)] : []),
      ...describeSources(parts),
    ].join('\n'),
  );
}

/** Answers the last exchange of each row, and stops an answer that can no longer be right. */
async function answerRows(
  exchanges: readonly Exchange[],
  {
    model,
    tokenizer,
    settings,
    isChat,
  }: {
    readonly model: Model;
    readonly tokenizer: Tokenizer;
    readonly settings: EvaluateSettings;
    /** Whether prompts go through the chat template; an encoder reads them as they are. */
    readonly isChat: boolean;
  },
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const { chat, expected, images } of exchanges) {
    const prompt = isChat ? chat : contentOf(chat.messages.at(-1)!);
    const { text } = await answerPrompt(model, tokenizer, prompt, {
      chat: isChat,
      images,
      max_new_tokens: settings.max_new_tokens,
      temperature: 0,
      seed: 0,
      onText: (written) => canBecome(written, expected),
    });
    const completion = text.trim();
    answers.push({
      prompt: contentOf(chat.messages.at(-1)!),
      expected,
      completion,
      right: completion === expected.trim(),
    });
  }
  return answers;
}

/** Whether an unfinished answer can still become the expected one. */
export function canBecome(text: string, expected: string): boolean {
  const started = text.trimStart();
  const wanted = expected.trim();
  return wanted.startsWith(started) || started.trimEnd() === wanted;
}

interface Exchange {
  readonly chat: Chat;
  readonly expected: string;
  readonly images: RowImages;
}

/** A row's last message, if it is the assistant's, and the messages before it. */
function lastExchange(row: TextRow, images: RowImages): Exchange[] {
  const messages = messagesIn(row);
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || last.tool_calls || last.weight === 0) return [];
  const variables = row.kind === 'messages' ? row.variables : undefined;
  const chat = { messages: messages.slice(0, -1), ...(variables && { variables }) };
  return [{ chat, expected: contentOf(last), images }];
}

function messagesIn(row: TextRow): readonly Message[] {
  if (row.kind === 'messages') {
    return row.messages;
  }
  return row.kind === 'completion' ? asChat(row) : [];
}

const countRight = (answers: readonly Answer[]) => answers.filter(({ right }) => right).length;

function describeText(loss: number, labelled: number, answers: readonly Answer[] | null): string[] {
  const perplexity = Math.exp(loss).toFixed(2);
  const lines = [
    `loss ${loss.toFixed(4)} on ${countOf(labelled, 'labelled token')} (perplexity ${perplexity})`,
  ];
  if (answers) {
    lines.push(
      `${countRight(answers)} of ${countOf(answers.length, 'answer')} ${countRight(answers) === 1 ? 'matches' : 'match'} exactly`,
    );
  }
  return lines;
}

function describeCalls(calls: readonly AnsweredCalls[]): string {
  const count = (key: keyof CheckedCalls) => calls.filter((own) => own[key]).length;
  const calling = calls.filter(({ expected }) => expected.length > 0).length;
  return (
    `${count('right')} of ${countOf(calls.length, 'answer')} with tools all right ` +
    `(parsed ${count('parsed')}, right tools ${count('named')}, equal arguments ${count('arguments')}); ` +
    `${countOf(calling, 'answer')} should call tools`
  );
}
