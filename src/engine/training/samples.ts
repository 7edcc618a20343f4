import { quote } from '../../data/rows/describe';
import type { PreparedData } from '../../data/dataset/prepare';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { answerPrompt, promptIds } from '../model/answer';
import { predictionText } from '../tasks/predict';
import { countOf } from '../../shared/values';

/**
 * The prompts that a language model answers while it trains. Prompts that the chat template rejects
 * and prompts longer than the memory estimate allows are left out with a warning, so that they
 * cannot end the run later.
 */
export function samplePrompts(
  { samples, training: { max_length } }: Recipe,
  data: PreparedData,
  tokenizer: Tokenizer,
  warn: (message: string) => void,
): string[] {
  if (samples.sample_steps === 0) return [];
  const prompts =
    samples.prompts.length > 0 ? samples.prompts : data.sample_rows.map((row) => row.text);
  return prompts.filter((prompt) => {
    const problem = promptProblem(prompt, tokenizer, max_length);
    if (problem !== null) warn(`The sample prompt ${quote(prompt)} is left out: ${problem}`);
    return problem === null;
  });
}

/** Why a prompt cannot be used; null if it can. */
function promptProblem(prompt: string, tokenizer: Tokenizer, max_length: number): string | null {
  try {
    const { length } = promptIds(tokenizer, prompt, tokenizer.has_chat_template);
    if (length === 0) return 'it is empty.';
    return length > max_length
      ? `it has ${countOf(length, 'token')}, max_length is ${max_length}.`
      : null;
  } catch (error) {
    return LoraError.from(error, 'tokenizer').message;
  }
}

/** A sample to take: its prompt, and a function that lets the model complete it. */
export interface SampleJob {
  readonly prompt: string;
  readonly complete: () => Promise<string>;
}

/** What samples are taken from. */
export interface SampleSource {
  /** For a language model; empty for other tasks. */
  readonly prompts: readonly string[];
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
  if (recipe.task !== 'causal_lm')
    return data.sample_rows.map((row) => ({
      prompt: row.text,
      complete: () => predictionText(model, row, data.labels, data.collate),
    }));
  return prompts.map((prompt) => ({
    prompt,
    complete: () =>
      answerPrompt(model, tokenizer!, prompt, {
        chat: tokenizer!.has_chat_template,
        max_new_tokens: recipe.samples.max_new_tokens,
        temperature: 0,
        seed: recipe.training.seed,
      }),
  }));
}
