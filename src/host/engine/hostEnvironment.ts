import * as vscode from 'vscode';
import { safeEnvironment } from '../../common/programs';

/**
 * The environment for programs that the extension starts: the editor's, without the entries that
 * would load programs, libraries or modules from a folder of the workspace.
 */
export const hostEnvironment = (): Record<string, string | undefined> =>
  safeEnvironment(
    process.env,
    (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath),
  );
