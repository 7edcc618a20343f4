import { contentOf, type Chat, type ChatVariables, type Message } from '../../data/chat/chat';
import { quote } from '../../data/rows/describe';
import type { PreparedData } from '../../data/dataset/prepare';
import type { SampleAnswer, SampleRow } from '../../data/examples/sampleRows';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { SampleLine, SampleMessage } from '../../shared/metrics/lines';
import type { Recipe } from '../../shared/recipe';
import { writesText } from '../../shared/task';
import { toolsIn } from '../../shared/tools';
import { countOf, isObject } from '../../shared/values';
import { answerTokens, promptIds, stopIds, type PromptTokens } from '../model/answer';
import { expectedText, predictionText } from '../tasks/predict';

/** What a sample shows beside its step and the completion. */
export type SampleFacts = Pick<SampleLine, 'prompt' | 'line' | 'before' | 'expected'>;

/** A prompt that a language model answers while it trains. */
export interface SamplePrompt extends PromptTokens {
  readonly facts: SampleFacts;
}

/** What prompts depend on. `tools` is missing in recipes of older versions. */
type SampleRecipe = Pick<Recipe, 'samples' | 'training'> & { readonly tools?: Recipe['tools'] };

/**
 * The prompts that a language model answers while it trains: those of the recipe, else rows of the
 * dataset as the model trains on them, up to their answer. Prompts that the chat template rejects
 * and prompts longer than the memory estimate allows are left out with a warning, so that they
 * cannot end the run later.
 */
export function samplePrompts(
  { samples, tools, training: { max_length } }: SampleRecipe,
  data: PreparedData,
  tokenizer: Tokenizer,
  warn: (message: string) => void,
): SamplePrompt[] {
  if (samples.sample_steps === 0) return [];
  if (samples.prompts.length === 0)
    return data.sample_rows.flatMap((row) =>
      row.answer ? [rowPrompt(row, row.answer, tokenizer)] : [],
    );
  const system = sharedSystem(data.sample_rows);
  const offered = toolsIn(tools);
  return samples.prompts.flatMap((prompt) => {
    const made = writtenPrompt(prompt, { system, tools: offered }, tokenizer);
    const problem = promptProblem(made, max_length);
    if (typeof made !== 'string' && problem === null) return [made];
    warn(`The sample prompt ${quote(prompt)} is left out: ${problem}`);
    return [];
  });
}

/** A row up to its answer, in the tokens that the model trains on. */
export function rowPrompt(
  { text, line }: SampleRow,
  { prompt_ids, answer_ids, before, variables, images }: SampleAnswer,
  tokenizer: Tokenizer,
): SamplePrompt {
  const stop_ids = stopIds(tokenizer, variables);
  const end = answer_ids.findIndex((id) => stop_ids.includes(id));
  const expected_ids = end < 0 ? answer_ids : answer_ids.slice(0, end);
  const shown = [...toolNames(variables), ...before.map(shownMessage)];
  return {
    input_ids: prompt_ids,
    stop_ids,
    images,
    facts: {
      prompt: text,
      line,
      ...(shown.length > 0 && { before: shown }),
      expected: tokenizer.decode(expected_ids, true).trim(),
    },
  };
}

const MOST_CHARACTERS = 1000;

function shownMessage(message: Message): SampleMessage {
  const text = contentOf(message) || JSON.stringify(message.tool_calls ?? '');
  const shown = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
  return { role: message.role, text: shown };
}

/** The tools that a row offers, as a message. */
function toolNames({ tools }: ChatVariables): SampleMessage[] {
  if (!Array.isArray(tools)) return [];
  const names = tools.map((tool: unknown) => {
    const own = isObject(tool) && isObject(tool['function']) ? tool['function'] : tool;
    return isObject(own) && typeof own['name'] === 'string' ? own['name'] : '?';
  });
  return [{ role: 'tools', text: names.join(', ') }];
}

/** The system message that all of the rows begin with; null if they differ or have none. */
function sharedSystem(rows: readonly SampleRow[]): Message | null {
  const [first, ...others] = rows.map(({ answer }) => answer?.before[0]);
  if (first?.role !== 'system') return null;
  const isShared = others.every(
    (other) => other?.role === 'system' && contentOf(other) === contentOf(first),
  );
  return isShared ? first : null;
}

/** A prompt of the recipe, under the system message of the rows. A text: why it cannot be asked. */
function writtenPrompt(
  prompt: string,
  { system, tools }: { readonly system: Message | null; readonly tools: unknown },
  tokenizer: Tokenizer,
): SamplePrompt | string {
  const variables: ChatVariables = tools === undefined ? {} : { tools };
  const chat: Chat = {
    messages: [...(system ? [system] : []), { role: 'user', content: prompt }],
    variables,
  };
  try {
    const input_ids = tokenizer.has_chat_template
      ? promptIds(tokenizer, chat, true)
      : promptIds(tokenizer, prompt, false);
    const before = tokenizer.has_chat_template
      ? [...toolNames(variables), ...(system ? [shownMessage(system)] : [])]
      : [];
    return {
      input_ids,
      stop_ids: stopIds(tokenizer, variables),
      facts: { prompt, ...(before.length > 0 && { before }) },
    };
  } catch (error) {
    return LoraError.from(error, 'tokenizer').message;
  }
}

/** Why a prompt cannot be used; null if it can. */
function promptProblem(made: SamplePrompt | string, max_length: number): string | null {
  if (typeof made === 'string') return made;
  const { length } = made.input_ids;
  if (length === 0) return 'it is empty.';
  return length > max_length
    ? `it has ${countOf(length, 'token')}, max_length is ${max_length}.`
    : null;
}

/** A completion, and whether it is what was expected (absent where that is not known). */
type Completed = Pick<SampleLine, 'completion' | 'exact'>;

/** A sample to take: what it shows, and a function that lets the model complete it. */
export interface SampleJob {
  readonly facts: SampleFacts;
  readonly complete: () => Promise<Completed>;
}

/** What samples are taken from. */
export interface SampleSource {
  /** For a language model; empty for other tasks. */
  readonly prompts: readonly SamplePrompt[];
  readonly data: PreparedData;
  /** Null for images. */
  readonly tokenizer: Tokenizer | null;
}

/** One round of samples: answers of a language model, predictions of other models. */
export function sampleJobs(
  recipe: Recipe,
  model: Model,
  { prompts, data, tokenizer }: SampleSource,
): readonly SampleJob[] {
  if (recipe.task === 'reward') return data.sample_rows.map((row) => rewardJob(row, model, data));
  if (!writesText(recipe.task)) return data.sample_rows.map((row) => rowJob(row, model, data));
  return prompts.map(({ facts, ...prompt }) => ({
    facts,
    complete: async () => {
      const { text, ended } = await answerTokens(model, tokenizer!, prompt, {
        max_new_tokens: recipe.samples.max_new_tokens,
        temperature: 0,
        seed: recipe.training.seed,
      });
      return { completion: text, ...compared(text, facts.expected, ended) };
    },
  }));
}

function rowJob(row: SampleRow, model: Model, data: PreparedData): SampleJob {
  const expected = expectedText(row, data.labels);
  const { text: prompt, line } = row;
  return {
    facts: { prompt, line, ...(expected !== null && { expected }) },
    complete: async () => {
      const { text, plain } = await predictionText(model, row, data.labels, data.collate);
      const isNumber = row.example.kind === 'ranking' || data.labels?.problem_type === 'regression';
      return {
        completion: text,
        ...(isNumber ? {} : compared(plain, expected ?? undefined, true)),
      };
    },
  };
}

/** The rewards of a pair. */
function rewardJob(row: SampleRow, model: Model, data: PreparedData): SampleJob {
  const { text: prompt, line } = row;
  return {
    facts: { prompt, line },
    complete: async () => {
      const [chosen, rejected] = await model.logits(await data.collate([row.example]));
      return { completion: `chosen ${chosen!.toFixed(3)}, rejected ${rejected!.toFixed(3)}` };
    },
  };
}

/** `ended`: whether the model ended its answer itself. */
export function compared(
  completion: string,
  expected: string | undefined,
  ended: boolean,
): Pick<Completed, 'exact'> {
  if (expected === undefined) return {};
  const written = completion.trim();
  if (written === expected.trim()) return { exact: true };
  return !ended && expected.trim().startsWith(written) ? {} : { exact: false };
}
