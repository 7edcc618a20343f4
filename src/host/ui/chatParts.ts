import * as vscode from 'vscode';
import { isObject } from '../../shared/values';
import type { AnswerPart } from '../chatModels/chatAnswer';
import type { ChatMessage, ChatPart } from '../chatModels/chatRequest';

/** A message as VS Code sends it to a model. */
export interface ChatRequestMessage {
  readonly role: number;
  readonly content: readonly unknown[];
}

/** What VS Code takes as a part of a model's answer, which it shows as Markdown. */
export type ResponsePart = vscode.LanguageModelTextPart | vscode.LanguageModelToolCallPart;

/** A part of an answer for VS Code. */
export const responsePart = (part: AnswerPart): ResponsePart =>
  part.kind === 'text'
    ? new vscode.LanguageModelTextPart(part.text)
    : new vscode.LanguageModelToolCallPart(part.id, part.name, part.input);

/** VS Code has a role for the system, which its interface does not name. */
const SYSTEM_ROLE = 3;

/** A message as requests need it. */
export function chatMessage({ role, content }: ChatRequestMessage): ChatMessage {
  return { role: roleOf(role), parts: content.flatMap(partOf) };
}

function roleOf(role: number): ChatMessage['role'] {
  if (role === SYSTEM_ROLE) return 'system';
  const assistant: number = vscode.LanguageModelChatMessageRole.Assistant;
  return role === assistant ? 'assistant' : 'user';
}

function partOf(part: unknown): readonly ChatPart[] {
  if (part instanceof vscode.LanguageModelToolCallPart)
    return [{ kind: 'call', id: part.callId, name: part.name, input: part.input }];
  if (part instanceof vscode.LanguageModelToolResultPart)
    return [{ kind: 'result', id: part.callId, text: part.content.map(textOf).join('') }];
  if (part instanceof vscode.LanguageModelTextPart) return [{ kind: 'text', text: part.value }];
  return dataPart(part);
}

/** Data is text or an image; other data is for the models of whoever sends it. */
function dataPart(part: unknown): readonly ChatPart[] {
  if (!isObject(part) || typeof part['mimeType'] !== 'string') return [];
  if (part['mimeType'].startsWith('image/')) return [{ kind: 'image' }];
  const text = dataText(part);
  return text === null ? [] : [{ kind: 'text', text }];
}

/** Null unless the data is a text. */
function dataText({ mimeType, data }: Readonly<Record<string, unknown>>): string | null {
  const isText = /^(?:text\/|application\/json\b)/.test(String(mimeType));
  return isText && data instanceof Uint8Array ? Buffer.from(data).toString('utf8') : null;
}

/** A part of a tool's result. */
function textOf(part: unknown): string {
  if (part instanceof vscode.LanguageModelTextPart) return part.value;
  if (part instanceof vscode.LanguageModelPromptTsxPart) return JSON.stringify(part.value);
  return isObject(part) && 'mimeType' in part ? (dataText(part) ?? '') : '';
}
