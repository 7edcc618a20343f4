import { arch, homedir, release, type } from 'node:os';
import * as vscode from 'vscode';
import type { RuntimeService } from '../runtime/runtimeService';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { copyToClipboard, notify } from '../ui/messages';
import { issueReport, runtimeFact } from './issueReport';

const ISSUE_REPORTER = 'workbench.action.openIssueReporter';

/**
 * Opens VS Code's issue reporter with a report about this machine. Where the editor has none, the
 * report is copied to the clipboard, and the extension's issue page opened if it has one.
 */
export async function reportIssue({
  context,
  log,
  runtime,
}: Pick<Services, 'context' | 'log' | 'runtime'>): Promise<void> {
  const { extension } = context;
  const manifest = extension.packageJSON as {
    readonly version: string;
    readonly bugs?: { readonly url?: string };
  };
  const issueBody = issueReport({
    extensionVersion: manifest.version,
    editor: `${vscode.env.appName} ${vscode.version}${vscode.env.remoteName ? ' (remote)' : ''}`,
    os: `${type()} ${release()} ${arch()}`,
    runtime: await describeRuntime(runtime),
    log: log.recent(),
    home: homedir(),
  });
  const known = await vscode.commands.getCommands(true);
  if (known.includes(ISSUE_REPORTER)) {
    const extensionId = extension.id;
    await vscode.commands.executeCommand(ISSUE_REPORTER, { extensionId, issueBody });
    return;
  }
  await copyToClipboard(issueBody);
  void notify('information', t('The report was copied to the clipboard.'));
  const url = manifest.bugs?.url;
  if (url !== undefined) await vscode.env.openExternal(vscode.Uri.parse(url));
}

/** Looking for a runtime can start programs, so an untrusted workspace must not ask for it. */
async function describeRuntime(runtime: RuntimeService): Promise<string> {
  if (!vscode.workspace.isTrusted) return 'unknown: the workspace is not trusted';
  try {
    return runtimeFact(await runtime.findRuntime());
  } catch (error) {
    return `unknown: ${error instanceof Error ? error.message : String(error)}`;
  }
}
