import * as vscode from 'vscode';
import type { WriterFacts } from '../../inspect/questions';
import { LoraError } from '../../shared/errors';
import { oneLine } from '../../shared/plainText';
import type { AskInspections } from '../inspection/inspections';
import type { ModelServer } from '../server/modelServer';
import { streamRequest } from '../server/requestStream';
import type { Writer } from '../server/writers';
import { t } from '../text/l10n';
import { chatMessage, responsePart, type ChatRequestMessage } from '../ui/chatParts';
import { plain } from '../ui/plain';
import { withSignal } from '../ui/withSignal';
import { partsOfEvent } from './chatAnswer';
import { chatBody, countedTexts } from './chatRequest';
import type { ChatModelInformation, ChatModelProvider, ChatRequestOptions } from './providerApi';

/** What the models need. */
export interface ChatModelServices {
  readonly writers: () => Promise<readonly Writer[]>;
  readonly inspections: AskInspections;
  readonly server: Pick<ModelServer, 'use'>;
  readonly log: (message: string) => void;
  readonly onDidChange: vscode.Event<void>;
}

/** An answer takes no more of the positions than this share, and no more tokens than this. */
const ANSWER_SHARE = 0.5;
const MOST_ANSWER_TOKENS = 4096;

/** The finished runs of the workspace, and their bases, as models of the chat. */
export class ChatModels implements ChatModelProvider {
  private readonly facts = new Map<string, Promise<WriterFacts | null>>();
  private known: readonly Writer[] = [];

  constructor(private readonly services: ChatModelServices) {}

  get onDidChangeLanguageModelChatInformation(): vscode.Event<void> {
    return this.services.onDidChange;
  }

  async provideLanguageModelChatInformation(): Promise<ChatModelInformation[]> {
    this.known = vscode.workspace.isTrusted ? await this.services.writers() : [];
    const models = this.known.map(async (writer) => {
      const facts = await this.factsOf(writer.base);
      return facts?.chats ? [informationOf(writer, facts)] : [];
    });
    return (await Promise.all(models)).flat();
  }

  async provideLanguageModelChatResponse(
    ...[model, messages, options, progress, token]: Parameters<
      ChatModelProvider['provideLanguageModelChatResponse']
    >
  ): Promise<void> {
    const writer = this.find(model);
    const body = bodyOf(writer, messages, options, model);
    const onEvent = (event: Readonly<Record<string, unknown>>) => {
      for (const part of partsOfEvent(event)) progress.report(responsePart(part));
    };
    try {
      await withSignal(token, (signal) =>
        this.services.server.use(writer, signal, (endpoint) =>
          streamRequest({ endpoint, path: '/chat/completions', body, signal, onEvent }),
        ),
      );
    } catch (error) {
      throw oneSentence(error);
    }
  }

  async provideTokenCount(
    model: ChatModelInformation,
    text: string | ChatRequestMessage,
    token: vscode.CancellationToken,
  ): Promise<number> {
    const { base } = this.find(model);
    const texts = typeof text === 'string' ? [text] : countedTexts(chatMessage(text));
    // the process that counts is shared: it is not ended for one count
    if (token.isCancellationRequested) throw new vscode.CancellationError();
    try {
      return await this.services.inspections.ask('tokenCount', { file: base, texts });
    } catch (error) {
      throw oneSentence(error);
    }
  }

  private find({ id }: ChatModelInformation): Writer {
    const writer = this.known.find((own) => own.id === id);
    if (writer && vscode.workspace.isTrusted) return writer;
    throw new Error(t('The model no longer exists.'));
  }

  /** Null for a base that cannot be read, which the log says. */
  private factsOf(base: string): Promise<WriterFacts | null> {
    const known = this.facts.get(base);
    if (known) return known;
    const asked = this.services.inspections
      .ask('writer', { file: base })
      .catch((error: unknown) => {
        this.services.log(`Chat: ${LoraError.from(error, 'base').describe()}`);
        this.facts.delete(base);
        return null;
      });
    this.facts.set(base, asked);
    return asked;
  }
}

function informationOf(writer: Writer, { positions, tools }: WriterFacts): ChatModelInformation {
  const maxOutputTokens = Math.min(MOST_ANSWER_TOKENS, Math.floor(positions * ANSWER_SHARE));
  return {
    id: writer.id,
    name: plain(writer.name),
    family: plain(writer.base_name),
    detail: writer.adapter === null ? t('on this machine') : plain(writer.base_name),
    version: '1',
    maxInputTokens: positions - maxOutputTokens,
    maxOutputTokens,
    capabilities: { toolCalling: tools },
  };
}

function bodyOf(
  { variables }: Writer,
  messages: readonly ChatRequestMessage[],
  { tools = [], toolMode, modelOptions = {} }: ChatRequestOptions,
  { maxOutputTokens }: ChatModelInformation,
): Readonly<Record<string, unknown>> {
  return chatBody(messages.map(chatMessage), {
    tools,
    mustCall: toolMode === vscode.LanguageModelChatToolMode.Required,
    options: modelOptions,
    variables,
    most: maxOutputTokens,
  });
}

/** The text of an error in the chat: its message and fix. */
function oneSentence(error: unknown): Error {
  const { area, message, fix } = LoraError.from(error, 'engine');
  if (area === 'cancelled') return new vscode.CancellationError();
  return new Error(plain(oneLine([message, fix].filter(Boolean).join(' '))), { cause: error });
}
