import type { Chat } from '../../data/chat/chat';
import { rowImagesOf } from '../../data/dataset/prepare';
import type { RowImages } from '../../data/examples/rowImages';
import { openChatImages } from '../../data/images/chatImages';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { exactText } from '../../shared/exactText';
import type { ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import { plainJson } from '../../shared/exactValues';
import { answerPrompt, partsOf } from '../model/answer';
import { loadTokenizer, withModel } from '../model/openModel';
import { EXIT_STOPPED, listenToStopSignals, REQUESTS_TO_END, type StopSignal } from '../stopSignal';
import { streamText } from '../terminal';
import { defineCommand, form } from './command';
import { readConversation, readTools, withSystem } from './conversation';
import {
  adaptersOption,
  baseDtypeOption,
  quantizeOption,
  quantizeOptions,
  baseOption,
  partialOption,
  productsOption,
  templateVariablesOption,
  toolsOption,
} from './commonOptions';
import { printResult } from './context';
import { exactlyOne, flag, optional, withDefault } from './options';
import { nonNegativeNumber, anyText, wholeNumber } from './optionValues';

/** lora generate. */
export const generateCommand = defineCommand({
  name: 'generate',
  summary: 'Generates a continuation of a prompt, or an answer to it.',
  endedBySignals: true,
  forms: [
    form({
      options: {
        base: baseOption,
        adapter: adaptersOption,
        ...exactlyOne({
          prompt: optional(anyText, 'TEXT', 'prompt'),
          messages: optional(anyText, 'FILE', 'JSON array of messages to answer as a chat'),
        }),
        chat: flag('format the prompt with the chat template and answer it'),
        system: optional(anyText, 'TEXT', 'system message of the chat; implies --chat'),
        tools: { ...toolsOption, help: `${toolsOption.help}; implies --chat` },
        'max-new-tokens': withDefault('256', wholeNumber, 'N', 'longest answer, in tokens'),
        temperature: withDefault('0', nonNegativeNumber, 'T', '0 takes the most likely token'),
        seed: withDefault('0', wholeNumber, 'N', 'seed for sampling'),
        'chat-template-kwargs': templateVariablesOption,
        'base-dtype': baseDtypeOption('float32'),
        quantize: quantizeOption,
        products: productsOption('exact'),
        partial: partialOption,
      },
      run: async ({ options }, context) => {
        const { base: basePath, adapter, temperature, seed } = options;
        const asked = await askedOf(options);
        const chat = options.chat || typeof asked !== 'string';
        const writer = new StreamedText(!context.json);
        const stop = new LateStop(context.note);
        const { text, parts } = await withModel(
          { base: basePath, adapters: adapter },
          context,
          {
            base_dtype: options['base-dtype'],
            quantize: quantizeOptions(options.quantize),
            partial: options.partial,
            products: options.products,
          },
          async ({ base, model }) => {
            const chat_template_kwargs = options['chat-template-kwargs'];
            const tokenizer = await loadTokenizer(base, { chat_template_kwargs });
            const answer = await answerPrompt(model, tokenizer, asked, {
              chat,
              images: await imagesBeside(options.messages, base),
              temperature,
              seed,
              products: options.products,
              max_new_tokens: options['max-new-tokens'],
              onText: (written) => {
                stop.listen();
                writer.show(written);
                return !stop.isAsked;
              },
            });
            const variables = typeof asked === 'string' ? {} : asked.variables;
            return {
              text: answer.text,
              parts: chat ? partsOf(tokenizer, answer.raw, variables) : null,
            };
          },
        );
        const stopped = stop.isAsked;
        const { prompt, messages } = options;
        const given = messages === null ? { prompt } : { messages };
        printResult(
          context,
          { ...given, text, stopped, ...(parts && factsOf(parts)) },
          () => writer.rest(text) + describeCalls(parts),
        );
        return stopped ? EXIT_STOPPED : 0;
      },
    }),
  ],
});

/** The reader of the images of a conversation, whose paths are relative to its file. */
const imagesBeside = async (file: string | null, base: BaseModel): Promise<RowImages> =>
  rowImagesOf(file ?? '', {
    chat_images: await openChatImages(base),
    family: base.spec.family,
  });

interface Question {
  readonly prompt: string | null;
  readonly messages: string | null;
  readonly system: string | null;
  readonly tools: string | null;
}

/** What is answered: a prompt, or a conversation. @throws LoraError */
async function askedOf(question: Question): Promise<string | Chat> {
  const { prompt, messages, system, tools } = question;
  const variables = tools === null ? {} : { tools: await readTools(tools) };
  if (messages !== null)
    return { messages: withSystem(await readConversation(messages), system), variables };
  if (!prompt) throw new LoraError('usage', '--prompt is empty.');
  return system === null && tools === null
    ? prompt
    : { messages: withSystem([{ role: 'user', content: prompt }], system), variables };
}

/** The parts of an answer that has more than text. */
function factsOf({ reasoning, content, calls, isFaulty }: ParsedAnswer): object {
  if (reasoning === '' && calls.length === 0 && !isFaulty) return {};
  return {
    ...(reasoning !== '' && { reasoning }),
    content,
    calls: calls.map((call) => plainJson(call)),
    ...(isFaulty && { faulty_call: true }),
  };
}

/** The calls of an answer, one a line. */
function describeCalls(parts: ParsedAnswer | null): string {
  if (!parts || (parts.calls.length === 0 && !parts.isFaulty)) return '';
  return [
    '',
    ...parts.calls.map((call) => `call ${call.name} ${exactText(call.arguments)}`),
    ...(parts.isFaulty ? ['a call that cannot be read'] : []),
  ].join('\n');
}

/**
 * Listens to signals from the first token on, so that what was written is kept. Before it they end
 * the process at once: reading a long prompt takes long, and there is nothing to keep.
 */
class LateStop {
  private listening: StopSignal | null = null;

  constructor(private readonly say: (text: string) => void) {}

  listen(): void {
    this.listening ??= listenToStopSignals(REQUESTS_TO_END, this.say);
  }

  get isAsked(): boolean {
    return this.listening?.signal.aborted === true;
  }
}

/** Prints a text while it grows. */
class StreamedText {
  private shown = 0;

  constructor(private readonly isVisible: boolean) {}

  /** Prints what was added to the text since the last call. */
  show(text: string): void {
    if (this.isVisible) {
      streamText(text.slice(this.shown));
    }
    this.shown = text.length;
  }

  /** The part of the text that is not printed yet. */
  rest(text: string): string {
    return text.slice(this.shown);
  }
}
