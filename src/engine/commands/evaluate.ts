import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { asChat } from '../../data/examples/encodeRow';
import { openDataset, type Dataset } from '../../data/dataset/dataset';
import { collate, paddingId } from '../../data/examples/batch';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import { ProblemCollector, throwErrors } from '../../data/dataset/problems';
import { tokenizeRows } from '../../data/dataset/tokenizedDataset';
import { textTokenizer, type RowTokenizer } from '../../data/examples/tokenizeRows';
import type { Examples } from '../../data/examples/examples';
import { sampleAnswers, type SampleAnswer } from '../../data/examples/sampleRows';
import { plainJson } from '../../shared/exactValues';
import { ROW_SETTINGS } from '../../data/rows/settings';
import { contentOf, type Chat, type ChatVariables, type Message } from '../../data/chat/chat';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Example, ImageExample } from '../../data/examples/example';
import type { TextRow } from '../../data/rows/row';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { taskOfKeys, type Task } from '../../shared/task';
import type { Scores } from '../../shared/metrics/lines';
import { RecipeSchema } from '../../shared/recipe';
import { answerPrompt } from '../model/answer';
import { isReranker } from '../model/labels';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { loadTokenizer, withModel, type LoadedModel } from '../model/openModel';
import { warnOfProblems } from '../report';
import { answerCalls, callQuestions, type AnsweredCalls } from '../tasks/callRows';
import { callShares, type CheckedCalls } from '../tasks/callScores';
import { evaluateExamples } from '../tasks/evaluate';
import { defineCommand, form } from './command';
import {
  adaptersOption,
  baseOption,
  partialOption,
  templateVariablesOption,
  toolsOption,
} from './commonOptions';
import { printResult, type CommandContext } from './context';
import { readTools } from './conversation';
import { flag, required, withDefault } from './options';
import { anyText, wholeNumber } from './optionValues';
import type { ObjectiveMethod } from '../../shared/objective';
import { comparedBy, evaluatePreferences, firstRowKeys } from './evaluatePreferences';
import { countOf } from '../../shared/values';

interface Answer {
  readonly prompt: string;
  readonly expected: string;
  readonly completion: string;
  readonly right: boolean;
}

interface Settings {
  readonly file: string;
  readonly exact: boolean;
  readonly objective: ObjectiveMethod;
  readonly calls: boolean;
  /** Null: none but those of the rows. */
  readonly tools: readonly object[] | null;
  readonly max_length: number;
  readonly max_new_tokens: number;
  readonly chat_template_kwargs: ChatVariables;
}

const objectiveMethod = v.picklist(['dpo', 'orpo', 'cpo', 'simpo']);

/** lora evaluate. */
export const evaluateCommand = defineCommand({
  name: 'evaluate',
  summary: "Computes a model's loss and scores on a dataset.",
  endedBySignals: true,
  forms: [
    form({
      options: {
        base: baseOption,
        adapter: adaptersOption,
        partial: partialOption,
        dataset: required(anyText, 'FILE', 'dataset to evaluate on'),
        'chat-template-kwargs': templateVariablesOption,
        exact: flag('language models: also count the answers that match exactly'),
        calls: flag('language models: also count the answers whose tool calls are right'),
        tools: toolsOption,
        'max-length': withDefault('2048', wholeNumber, 'N', 'longest row, in tokens'),
        objective: withDefault(
          'dpo',
          objectiveMethod,
          'METHOD',
          'rows of preferences: dpo, orpo, cpo or simpo; rows with a label are compared by kto',
        ),
        'max-new-tokens': withDefault('64', wholeNumber, 'N', '--exact: longest answer, in tokens'),
      },
      run: async ({ options }, context) => {
        const settings: Settings = {
          file: options.dataset,
          exact: options.exact,
          objective: options.objective,
          calls: options.calls,
          tools: options.tools === null ? null : await readTools(options.tools),
          max_length: options['max-length'],
          max_new_tokens: options['max-new-tokens'],
          chat_template_kwargs: options['chat-template-kwargs'],
        };
        const paths = { base: options.base, adapters: options.adapter };
        const opening = { partial: options.partial };
        const compared = await comparedBy(options.dataset, options.adapter, settings.objective);
        if (compared) {
          await evaluatePreferences({ paths, opening, compared }, settings, context);
          return 0;
        }
        await withModel(paths, context, opening, (loaded) =>
          loaded.base.spec.head.kind === 'lm'
            ? evaluateText(loaded, settings, context)
            : evaluateTask(loaded, settings, context),
        );
        return 0;
      },
    }),
  ],
});

async function evaluateText(
  { base, model }: LoadedModel,
  settings: Settings,
  context: CommandContext,
): Promise<void> {
  const { file, exact, calls, tools, max_length } = settings;
  const rows = { ...ROW_SETTINGS, tools };
  const dataset = await openDataset(file, rows);
  throwErrors(dataset.problems);
  const { vocab_size } = base.spec;
  const tokenizer = await loadTokenizer(base, settings);
  const { examples, exchanges, called, close } = await tokenizeTexts(dataset, {
    exact,
    calls,
    tokenizer: (problems) =>
      textTokenizer(problems, { tokenizer, max_length, vocab_size, labels: 'assistant', rows }),
    warn: context.warn,
  });
  try {
    const padId = paddingId(tokenizer, vocab_size);
    const { loss, labelled } = await evaluateExamples(model, examples, {
      task: 'causal_lm',
      labels: null,
      pairs_per_batch: 1,
      collate: (own: readonly Example[]) =>
        Promise.resolve(collate(own as readonly Exclude<Example, ImageExample>[], padId)),
    });
    const answers = exact ? await answerRows(exchanges, { model, tokenizer, settings }) : null;
    const questions = callQuestions(called, tokenizer);
    if (calls && questions.length === 0)
      throw new LoraError('usage', 'No row has tools or an answer that calls one.', {
        place: { file },
        fix: 'Leave out --calls, or give the tools with --tools.',
      });
    const checked: AnsweredCalls[] = [];
    for (const question of questions) checked.push(await answerCalls(model, tokenizer, question));
    const counted = calls ? checked : null;
    printText(context, { loss, labelled, examples: examples.length, answers, calls: counted });
  } finally {
    close();
  }
}

interface TextSource {
  /** Keep the last exchange of each row. */
  readonly exact: boolean;
  /** Keep the answers of each row, which may call tools. */
  readonly calls: boolean;
  readonly tokenizer: (problems: ProblemCollector) => RowTokenizer<TextRow>;
  readonly warn: (message: string) => void;
}

/** The examples of a dataset of texts, and the exchanges to answer. The caller closes them. */
async function tokenizeTexts(
  dataset: Dataset,
  { exact, calls, tokenizer, warn }: TextSource,
): Promise<{
  readonly examples: Examples;
  readonly exchanges: readonly Exchange[];
  readonly called: readonly SampleAnswer[];
  readonly close: () => void;
}> {
  const exchanges: Exchange[] = [];
  const called: SampleAnswer[] = [];
  const texts = tokenizer(new ProblemCollector(dataset.path));
  const collecting: RowTokenizer = {
    problems: texts.problems,
    add: (row) => {
      const tokenized = texts.add(row as TextRow);
      if (tokenized && exact) exchanges.push(...lastExchange(tokenized.row));
      if (tokenized && calls) called.push(...sampleAnswers(tokenized));
      return tokenized;
    },
  };
  const scratch = path.join(tmpdir(), `evaluate.${randomUUID()}.${process.pid}.tmp`);
  const settings = { scratch, image_length: 1 };
  const rows = [{ dataset, tokenizer: collecting }];
  const { examples, problems, close } = await tokenizeRows(rows, settings);
  throwErrors(problems);
  warnOfProblems([...dataset.problems, ...problems], warn);
  return { examples, exchanges, called, close };
}

interface TextResult {
  readonly loss: number;
  readonly labelled: number;
  readonly examples: number;
  readonly answers: readonly Answer[] | null;
  /** Null: not asked for. */
  readonly calls: readonly AnsweredCalls[] | null;
}

function printText(context: CommandContext, result: TextResult): void {
  const { loss, labelled, examples, answers, calls } = result;
  const facts = {
    examples,
    labelled_tokens: labelled,
    loss,
    perplexity: Math.exp(loss),
    ...(answers && { exact: countRight(answers), answers }),
    ...(calls && { ...callShares(calls), calls: calls.map((own) => plainJson(own)) }),
  };
  printResult(context, facts, () =>
    [...describeText(loss, labelled, answers), ...(calls ? [describeCalls(calls)] : [])].join('\n'),
  );
}

/** Answers the last exchange of each row, and stops an answer that can no longer be right. */
async function answerRows(
  exchanges: readonly Exchange[],
  {
    model,
    tokenizer,
    settings,
  }: {
    readonly model: Model;
    readonly tokenizer: Tokenizer;
    readonly settings: Settings;
  },
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const { chat, expected } of exchanges) {
    const { text } = await answerPrompt(model, tokenizer, chat, {
      chat: true,
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
  const isInsideCharacter = started.endsWith('\uFFFD'); // bytes of its last character are missing
  return isInsideCharacter || wanted.startsWith(started) || started.trimEnd() === wanted;
}

interface Exchange {
  readonly chat: Chat;
  readonly expected: string;
}

/** A row's last message, if it is the assistant's, and the messages before it. */
function lastExchange(row: TextRow): Exchange[] {
  const messages = messagesIn(row);
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || last.tool_calls || last.weight === 0) return [];
  const variables = row.kind === 'messages' ? row.variables : undefined;
  const chat = { messages: messages.slice(0, -1), ...(variables && { variables }) };
  return [{ chat, expected: contentOf(last) }];
}

function messagesIn(row: TextRow): readonly Message[] {
  if (row.kind === 'messages') {
    return row.messages;
  }
  return row.kind === 'completion' ? asChat(row) : [];
}

const PAIRS_PER_BATCH = 16;

async function evaluateTask(
  { base, model, labels }: LoadedModel,
  { file, exact, calls, max_length }: Settings,
  context: CommandContext,
): Promise<void> {
  for (const [option, isGiven] of [
    ['--exact', exact],
    ['--calls', calls],
  ] as const)
    if (isGiven)
      throw new LoraError('usage', `${option} is for language models.`, {
        fix: `Leave out ${option}.`,
      });
  const task = (await ratesDocuments(labels, file)) ? 'reranker' : base.spec.task;
  const recipe = v.parse(RecipeSchema, {
    base: base.path,
    dataset: file,
    task,
    validation_split: 0,
    training: { max_length },
  });
  const dataset = await openDataset(file, recipe);
  throwErrors(dataset.problems);
  if (dataset.rows === 0) {
    throw new LoraError('dataset', 'The dataset has no rows.', { place: { file } });
  }
  const data = await prepareData({ datasets: [dataset], labels }, recipe, {
    ...(await dataToolsOf(base)),
  });
  try {
    await evaluatePrepared(data, { model, task, labels }, context);
  } finally {
    data.close();
  }
}

/** Whether a model with one output is evaluated by how it puts documents in order. */
async function ratesDocuments(labels: LoadedModel['labels'], file: string): Promise<boolean> {
  if (isReranker(labels)) return true;
  return labels?.names.length === 1 && taskOfKeys(await firstRowKeys(file)) === 'reranker';
}

async function evaluatePrepared(
  data: PreparedData,
  { model, task, labels }: Pick<LoadedModel, 'model' | 'labels'> & { readonly task: Task },
  context: CommandContext,
): Promise<void> {
  warnOfProblems(data.warnings, context.warn);
  const { loss, labelled, scores } = await evaluateExamples(model, data.train, {
    task,
    labels,
    collate: data.collate,
    pairs_per_batch: PAIRS_PER_BATCH,
  });
  const facts = {
    examples: data.train.length,
    labelled,
    loss,
    ...scores,
    ...(labels && task !== 'reranker' && { labels: labels.names }),
  };
  printResult(context, facts, () => describeScores(loss, data.train.length, scores));
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

const describeScores = (loss: number, rows: number, scores: Scores): string =>
  [
    `loss ${loss.toFixed(4)} on ${countOf(rows, 'row')}`,
    ...Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(4)}`),
  ].join(', ');
