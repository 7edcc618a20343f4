import * as v from 'valibot';
import type { Scores } from '../../shared/metrics/lines';
import { asChat } from '../../data/examples/encodeRow';
import { readDataset } from '../../data/dataset/dataset';
import { collate } from '../../data/examples/batch';
import { prepareData, readRows } from '../../data/dataset/prepare';
import { throwErrors } from '../../data/dataset/problems';
import { tokenizeRows } from '../../data/examples/tokenizeRows';
import type { Message } from '../../data/chat/chat';
import type { Example, ImageExample } from '../../data/examples/example';
import type { TextRow } from '../../data/rows/row';
import { LoraError } from '../../shared/errors';
import { RecipeSchema } from '../../shared/recipe';
import { answerPrompt } from '../model/answer';
import { dataToolsOf } from '../model/dataTools';
import { canBecome } from './exactMatch';
import { loadTokenizer, withModel, type LoadedModel } from '../model/openModel';
import { evaluateExamples } from '../tasks/evaluate';
import { described } from './describe';
import type { Context } from './context';
import { readOptions, required, usageError, wholeNumber } from './options';

export const EVALUATE_USAGE =
  'lora evaluate --base PATH [--adapter DIR…] --dataset FILE [--exact] [--max-length N] [--max-new-tokens N] [--json]';

interface Answer {
  readonly prompt: string;
  readonly expected: string;
  readonly completion: string;
  readonly right: boolean;
}

interface Settings {
  readonly file: string;
  readonly exact: boolean;
  readonly max_length: number;
  readonly max_new_tokens: number;
}

/**
 * Mean loss on a dataset, and how good the model is at its task; with --exact also how many answers
 * are right to the letter.
 */
export async function evaluate(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      base: { type: 'string' },
      adapter: { type: 'string', multiple: true },
      dataset: { type: 'string' },
      exact: { type: 'boolean' },
      'max-length': { type: 'string' },
      'max-new-tokens': { type: 'string' },
    },
    EVALUATE_USAGE,
  );
  const settings: Settings = {
    file: required(values.dataset, 'dataset', EVALUATE_USAGE),
    exact: values.exact ?? false,
    max_length: wholeNumber(values['max-length'], 'max-length', 2048, EVALUATE_USAGE),
    max_new_tokens: wholeNumber(values['max-new-tokens'], 'max-new-tokens', 64, EVALUATE_USAGE),
  };
  const paths = {
    base: required(values.base, 'base', EVALUATE_USAGE),
    adapters: values.adapter ?? [],
  };
  return withModel(paths, context, {}, async (loaded) => {
    if (loaded.base.spec.head.kind === 'lm') await evaluateText(loaded, settings, context);
    else if (settings.exact) throw usageError('--exact is for language models', EVALUATE_USAGE);
    else await evaluateTask(loaded, settings, context);
    return 0;
  });
}

/** An answer is broken off where it can no longer be right. */
async function evaluateText(
  { base, model }: LoadedModel,
  { file, exact, max_length, max_new_tokens }: Settings,
  context: Context,
): Promise<void> {
  const dataset = await readDataset(file);
  const tokenizer = await loadTokenizer(base);
  const { examples, rows, problems } = tokenizeRows(
    file,
    dataset.rows as readonly TextRow[],
    tokenizer,
    { max_length, labels: 'assistant' },
  );
  throwErrors(problems);
  for (const problem of [...dataset.problems, ...problems]) context.warn(described(problem));
  const pad_id = tokenizer.pad_token_id ?? 0;
  const { loss, labelled } = await evaluateExamples(model, examples, {
    task: 'causal_lm',
    labels: null,
    pairs_per_batch: 1,
    collate: (own: readonly Example[]) =>
      Promise.resolve(collate(own as readonly Exclude<Example, ImageExample>[], pad_id)),
  });
  const answers: Answer[] = [];
  for (const { messages, expected } of exact ? rows.flatMap(question) : []) {
    context.signal.throwIfAborted();
    const onText = (text: string) => canBecome(text, expected);
    const completion = (
      await answerPrompt(model, tokenizer, messages, {
        chat: true,
        max_new_tokens,
        temperature: 0,
        seed: 0,
        onText,
      })
    ).trim();
    answers.push({
      prompt: messages.at(-1)!.content,
      expected,
      completion,
      right: completion === expected.trim(),
    });
  }
  const right = answers.filter((a) => a.right).length;
  const result = {
    kind: 'result',
    examples: examples.length,
    labelled_tokens: labelled,
    loss,
    perplexity: Math.exp(loss),
    ...(exact && { exact: right, answers }),
  };
  context.print(
    context.json ? JSON.stringify(result) : textInWords(loss, labelled, exact ? answers : null),
  );
}

const PAIRS_PER_BATCH = 16;

async function evaluateTask(
  { base, model, labels }: LoadedModel,
  { file, max_length }: Settings,
  context: Context,
): Promise<void> {
  const { task } = base.spec;
  const recipe = v.parse(RecipeSchema, {
    base: base.path,
    dataset: file,
    task,
    validation_split: 0,
    training: { max_length },
  });
  const dataset = await readRows(file, recipe);
  throwErrors(dataset.problems);
  if (dataset.rows.length === 0)
    throw new LoraError('dataset', 'The dataset has no rows.', { place: { file } });
  const data = prepareData({ datasets: [dataset], labels }, recipe, await dataToolsOf(base));
  for (const problem of data.warnings) context.warn(described(problem));
  const { loss, labelled, scores } = await evaluateExamples(model, data.train, {
    task,
    labels,
    collate: data.collate,
    pairs_per_batch: PAIRS_PER_BATCH,
  });
  context.print(
    context.json
      ? JSON.stringify({
          kind: 'result',
          examples: data.train.length,
          labelled,
          loss,
          ...scores,
          ...(labels && { labels: labels.names }),
        })
      : taskInWords(loss, data.train.length, scores),
  );
}

/** A row's last exchange: what stands before the assistant's last turn, and that turn. */
function question(
  row: TextRow,
): { readonly messages: readonly Message[]; readonly expected: string }[] {
  const messages =
    row.kind === 'messages' ? row.messages : row.kind === 'completion' ? asChat(row) : [];
  const last = messages.at(-1);
  return last?.role === 'assistant'
    ? [{ messages: messages.slice(0, -1), expected: last.content }]
    : [];
}

function textInWords(loss: number, labelled: number, answers: readonly Answer[] | null): string {
  const lines = [
    `loss ${loss.toFixed(4)} on ${labelled} labelled tokens (perplexity ${Math.exp(loss).toFixed(2)})`,
  ];
  if (answers)
    lines.push(
      `${answers.filter((a) => a.right).length} of ${answers.length} answers exactly right`,
    );
  return lines.join('\n');
}

const taskInWords = (loss: number, rows: number, scores: Scores) =>
  [
    `loss ${loss.toFixed(4)} on ${rows} rows`,
    ...Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(4)}`),
  ].join(', ');
