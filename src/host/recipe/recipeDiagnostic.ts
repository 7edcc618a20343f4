import * as vscode from 'vscode';
import { isSamePath } from '../../common/samePath';
import type { Problem } from '../../shared/errors';
import { diagnosticAt } from '../ui/diagnostic';
import { markedColumns } from './markedColumns';

/** A diagnostic on the word at the problem's place. */
export function toDiagnostic({ message, place, severity }: Problem): vscode.Diagnostic {
  const start = new vscode.Position((place?.line ?? 1) - 1, (place?.column ?? 1) - 1);
  return diagnosticAt(wordFrom(start, place?.file), message, severity);
}

function wordFrom(start: vscode.Position, file: string | undefined): vscode.Range {
  const document = vscode.workspace.textDocuments.find(
    ({ fileName }) => file !== undefined && isSamePath(fileName, file),
  );
  const line = document && start.line < document.lineCount ? document.lineAt(start.line).text : '';
  const { from, to } = markedColumns(line, start.character);
  return new vscode.Range(start.with({ character: from }), start.with({ character: to }));
}
