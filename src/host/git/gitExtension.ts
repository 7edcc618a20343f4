import * as vscode from 'vscode';

/** The parts of the Git extension's interface that are used here. */
interface GitExports {
  getAPI(version: 1): {
    getRepository(uri: vscode.Uri): GitRepository | null;
  };
}

interface GitRepository {
  readonly state: {
    readonly remotes: readonly { readonly name: string; readonly fetchUrl?: string }[];
  };
  /** As `git diff` writes it: of the index where `cached` is set, else of the files. */
  diff(cached: boolean): Promise<string>;
}

/**
 * The repository of a folder in VS Code's Git extension, which runs git in trusted workspaces only.
 * Null: it has none, or the extension is switched off.
 */
async function repositoryOf(folder: string): Promise<GitRepository | null> {
  const extension = vscode.extensions.getExtension<GitExports>('vscode.git');
  if (!extension || !vscode.workspace.isTrusted) return null;
  try {
    const exports = extension.isActive ? extension.exports : await extension.activate();
    return exports.getAPI(1).getRepository(vscode.Uri.file(folder));
  } catch {
    return null; // the extension is disabled by a setting
  }
}

/** The changes of tracked files since the last commit, as a diff; '' without any. */
export async function uncommittedChanges(folder: string): Promise<string> {
  const repository = await repositoryOf(folder);
  if (!repository) return '';
  return `${await repository.diff(true)}${await repository.diff(false)}`;
}

/** The address of the repository that a folder's commits are fetched from; null without one. */
export async function remoteOf(folder: string): Promise<string | null> {
  const remotes = (await repositoryOf(folder))?.state.remotes ?? [];
  const remote = remotes.find(({ name }) => name === 'origin') ?? remotes[0];
  return remote?.fetchUrl ?? null;
}
