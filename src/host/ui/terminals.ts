import type * as vscode from 'vscode';
import { plain } from './plain';

/** Says what variables of terminals are for. */
export function describeVariables(
  variables: vscode.EnvironmentVariableCollection,
  description: string,
): void {
  variables.description = plain(description);
}
