import { answerForm } from '../../../data/chat/calls/learnForm';
import type { ChatVariables } from '../../../data/chat/chat';
import { middleEnds } from '../../../data/code/fimForms';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { chatTokens, promptIds, stopIds, type PromptTokens } from '../../model/answer';
import type { TokenConstraint } from '../batchScheduler';
import {
  callGrammar,
  singleCallOf,
  type CallableTool,
  type CallGrammar,
} from '../json/callGrammar';
import { SchemaError } from '../json/schemaGrammar';
import { TokenMask } from '../json/tokenMask';
import type { AdapterMix, ServedModels } from '../servedModels';
import { chatReader, textReader, type AnswerReader } from './answerReaders';
import { ApiError, badField } from './apiError';
import { mixFor, type NamedModels } from './modelUse';
import type { ChatRequest, TextPrompt, TextRequest } from './requests';
import type { RequestSettings } from './settings';
import { callId, chatShape, textShape, type AnswerShape } from './shapes';

/** The models that write text. */
export interface WritingModels extends NamedModels {
  readonly models: Pick<
    ServedModels,
    'tokenizer' | 'checkMix' | 'purposeOf' | 'start_id' | 'rowImages'
  >;
}

/** One of the answers to a request. */
export interface PreparedChoice {
  readonly tokens: PromptTokens;
  /** The text that it begins with; null: not told. */
  readonly echo: string | null;
  readonly seed: number;
  readonly constraint: TokenConstraint | null;
}

/** A request that is ready to be written. */
export interface PreparedRequest {
  readonly settings: RequestSettings;
  readonly mix: AdapterMix;
  /** `settings.n` for each prompt. */
  readonly choices: readonly PreparedChoice[];
  readonly read: AnswerReader;
  readonly shape: AnswerShape;
}

/** @throws ApiError, LoraError */
export function prepareChat(
  answering: WritingModels,
  { settings, chat, mostCalls, forced, grammar }: ChatRequest,
): PreparedRequest {
  const mix = mixFor(answering, settings.model, 'text');
  const { tokenizer, rowImages } = answering.models;
  if (!tokenizer.has_chat_template)
    throw new ApiError(400, 'The base has no chat template: use /v1/completions.');
  const { messages, variables = {} } = chat;
  const prompt = chatTokens(tokenizer, chat, rowImages);
  if (mostCalls > 0) {
    const without = tokenizer.applyChatTemplate(messages, true, { ...variables, tools: null });
    if (without === tokenizer.applyChatTemplate(messages, true, variables))
      throw badField('tools', "cannot be used: the base's chat template leaves them out");
  }
  const tokens = { ...prompt, stop_ids: stopIds(tokenizer, variables) };
  const call = forced && forcedCall(tokenizer, variables, forced);
  const constraint = () => {
    if (call) return new TokenMask(tokenizer, call.grammar.start, call.marks);
    return grammar && new TokenMask(tokenizer, grammar.start);
  };
  return {
    settings,
    mix,
    choices: choicesOf(settings, { tokens, echo: null, constraint }),
    read: chatReader(tokenizer, variables, mostCalls),
    shape: chatShape({ model: settings.model, tokenizer }),
  };
}

/** The call that an answer consists of. @throws ApiError */
function forcedCall(
  tokenizer: Tokenizer,
  variables: ChatVariables,
  tools: readonly CallableTool[],
): CallGrammar {
  const { calls, reasoning } = answerForm(tokenizer, variables);
  const single = singleCallOf(calls);
  if (!single)
    throw badField(
      'tool_choice',
      "cannot be enforced: the base's chat template writes calls in its own format",
    );
  const isOpened = reasoning !== null && reasoning.open.trim() === '';
  const opening = isOpened ? reasoning.close : '';
  try {
    return callGrammar(single, tools, { opening, id: callId(), added: tokenizer.added_tokens });
  } catch (error) {
    if (error instanceof SchemaError)
      throw badField('tools', `have one that cannot be enforced: ${error.message}`);
    if (error instanceof RangeError) throw badField('tools', 'nest too deeply');
    throw error;
  }
}

/** @throws ApiError, LoraError */
export function prepareText(
  answering: WritingModels,
  { settings, prompts }: TextRequest,
): PreparedRequest {
  const mix = mixFor(answering, settings.model, 'text');
  const { tokenizer, start_id } = answering.models;
  if (settings.echo && start_id !== null)
    throw badField('echo', 'cannot be used: the answers of an encoder-decoder follow no text');
  const ends = stopIds(tokenizer);
  const choices = prompts.flatMap((prompt) => {
    const input_ids = textIds(tokenizer, prompt);
    const text = () => (typeof prompt === 'string' ? prompt : tokenizer.decode(input_ids, false));
    return choicesOf(settings, {
      tokens: { input_ids, stop_ids: [...ends, ...middleEnds(tokenizer, input_ids)] },
      echo: settings.echo ? text() : null,
      constraint: () => null,
    });
  });
  const shape = textShape({ model: settings.model, tokenizer });
  return { settings, mix, choices, read: textReader(tokenizer), shape };
}

/** The settings shared by the answers to one prompt. */
interface Prompt extends Pick<PreparedChoice, 'tokens' | 'echo'> {
  readonly constraint: () => TokenConstraint | null;
}

/** Each answer to a prompt has a seed of its own. */
const choicesOf = (
  { n, sampling: { seed } }: RequestSettings,
  { constraint, ...prompt }: Prompt,
): readonly PreparedChoice[] =>
  Array.from({ length: n }, (_, i) => ({ ...prompt, seed: seed + i, constraint: constraint() }));

function textIds(tokenizer: Tokenizer, prompt: TextPrompt): readonly number[] {
  if (typeof prompt === 'string') return promptIds(tokenizer, prompt, false);
  const outside = prompt.find((id) => id >= tokenizer.vocab_size);
  if (outside === undefined) return prompt;
  throw badField(
    'prompt',
    `has the token id ${outside}, but the vocabulary has ${tokenizer.vocab_size} tokens`,
  );
}
