import * as vscode from 'vscode';
import { markdownText, oneLine } from '../../shared/plainText';

/** What the chat shows before a tool runs. VS Code takes texts for Markdown. */
export const toolMessages = (
  progress: string,
  question?: { readonly title: string; readonly message: string },
): vscode.PreparedToolInvocation => ({
  invocationMessage: shown(progress),
  ...(question && {
    confirmationMessages: { title: oneLine(question.title), message: shown(question.message) },
  }),
});

const shown = (text: string) => new vscode.MarkdownString(markdownText(text));

/** The answer of a tool, for the language model. */
export const toolAnswer = (text: string): vscode.LanguageModelToolResult =>
  new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(text)]);
