import * as vscode from 'vscode';
import { plain } from './plain';

/** Who all diagnostics of the extension are from. */
export const DIAGNOSTIC_SOURCE = 'LoRA';

/** Marks a range of a file with a problem. */
export function diagnosticAt(
  range: vscode.Range,
  message: string,
  severity: 'error' | 'warning',
): vscode.Diagnostic {
  const diagnostic = new vscode.Diagnostic(
    range,
    plain(message),
    severity === 'error' ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning,
  );
  diagnostic.source = DIAGNOSTIC_SOURCE;
  return diagnostic;
}
