import * as vscode from 'vscode';
import type { TargetReport } from '../../targets/target';
import type { TargetEntry } from '../../targets/targetSchema';
import { t } from '../text/l10n';
import { reportDocument } from './targetReport';

const SCHEME = 'lora-target';

/** Read-only documents of what checks of targets have found. */
export class TargetDocuments implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registered: vscode.Disposable;

  /** For VS Code: documents to read again. */
  readonly onDidChange = this.changed.event;

  constructor() {
    this.registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  /** Shows a report beside what is open. */
  async show(entry: TargetEntry, report: TargetReport): Promise<void> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${entry.name}.md` });
    this.texts.set(entry.name, reportDocument(entry, report));
    this.changed.fire(uri);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: true });
  }

  /** For VS Code: the text of a report. */
  provideTextDocumentContent({ path }: vscode.Uri): string {
    return this.texts.get(path.slice(1, -3)) ?? t('Check the target again to see its resources.');
  }

  dispose(): void {
    this.registered.dispose();
    this.changed.dispose();
  }
}
