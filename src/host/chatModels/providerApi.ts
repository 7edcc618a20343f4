import * as vscode from 'vscode';
import type { ChatRequestMessage, ResponsePart } from '../ui/chatParts';

// The interface for models of extensions, which VS Code has since 1.104.

/** A model in the chat's model picker. */
export interface ChatModelInformation {
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly tooltip?: string;
  readonly detail?: string;
  readonly version: string;
  readonly maxInputTokens: number;
  readonly maxOutputTokens: number;
  readonly capabilities: { readonly toolCalling: boolean };
}

/** The fields of a request besides its messages. */
export interface ChatRequestOptions {
  readonly modelOptions?: Readonly<Record<string, unknown>>;
  readonly tools?: readonly vscode.LanguageModelChatTool[];
  readonly toolMode?: vscode.LanguageModelChatToolMode;
}

/** What answers as models. */
export interface ChatModelProvider {
  readonly onDidChangeLanguageModelChatInformation: vscode.Event<void>;
  provideLanguageModelChatInformation(): Promise<ChatModelInformation[]>;
  // the parameters are those of the interface
  provideLanguageModelChatResponse(
    ...request: readonly [
      model: ChatModelInformation,
      messages: readonly ChatRequestMessage[],
      options: ChatRequestOptions,
      progress: vscode.Progress<ResponsePart>,
      token: vscode.CancellationToken,
    ]
  ): Promise<void>;
  provideTokenCount(
    model: ChatModelInformation,
    text: string | ChatRequestMessage,
    token: vscode.CancellationToken,
  ): Promise<number>;
}

interface ProviderApi {
  readonly registerLanguageModelChatProvider: (
    vendor: string,
    provider: ChatModelProvider,
  ) => vscode.Disposable;
}

const api = (): Partial<ProviderApi> => vscode.lm as Partial<ProviderApi>;

/** Whether this editor's chat takes models of extensions. */
export const hasChatModels = (): boolean =>
  typeof api().registerLanguageModelChatProvider === 'function';

/** Registers a provider; nothing where the editor has no such interface. */
export const registerProvider = (vendor: string, provider: ChatModelProvider): vscode.Disposable =>
  api().registerLanguageModelChatProvider?.(vendor, provider) ?? vscode.Disposable.from();
