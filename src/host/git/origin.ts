import * as vscode from 'vscode';
import { changedFiles, changesFile } from './changes';
import { commitUrl } from './commitUrl';
import { remoteOf } from './gitExtension';

/** What a run started from. */
export interface RunOrigin {
  /** Files that were not committed; null where that is not known. */
  readonly changed_files: number | null;
  /** The page of its commit on the repository's server. */
  readonly commit_page: string | null;
}

/** What a run started from. `commit`: as its record says. */
export async function originOf(runDir: string, commit: string | null): Promise<RunOrigin> {
  const remote = commit === null ? null : await remoteOf(runDir);
  return {
    changed_files: await changedFiles(runDir),
    commit_page: remote === null || commit === null ? null : commitUrl(remote, commit),
  };
}

/** Shows what was not committed when a run started. */
export async function openChanges(runDir: string): Promise<void> {
  await vscode.window.showTextDocument(vscode.Uri.file(changesFile(runDir)), { preview: true });
}

/** Opens the page of a commit in the browser. */
export async function openCommit(page: string | null): Promise<void> {
  if (page !== null) await vscode.env.openExternal(vscode.Uri.parse(page, true));
}
