import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import type { RunSummary } from './run';
import type { RunStore } from './runStore';

const SCHEME = 'lora-recipe';

/**
 * Read-only documents of the recipes that runs were started with, as run.json recorded them: with
 * every default filled in.
 */
export class RecordedRecipes implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly registered: vscode.Disposable;

  constructor(private readonly store: RunStore) {
    this.registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  /**
   * Shows the recipe of a run in an editor.
   *
   * @throws LoraError('run') when run.json cannot be read.
   */
  async open(run: RunSummary): Promise<void> {
    if (!this.store.record(run.dir))
      throw new LoraError(
        'run',
        t('The recipe of {0} cannot be read from its run.json.', run.name),
        {
          place: { file: run.dir },
        },
      );
    const document = await vscode.workspace.openTextDocument(
      vscode.Uri.from({ scheme: SCHEME, path: `/${run.id}.json`, query: run.dir }),
    );
    await vscode.window.showTextDocument(document, { preview: true });
  }

  /** For VS Code: the recipe as JSON. */
  async provideTextDocumentContent({ query }: vscode.Uri): Promise<string> {
    await this.store.refresh();
    const record = this.store.record(query);
    return record ? `${JSON.stringify(record.recipe, null, 2)}\n` : t('This run no longer exists.');
  }

  dispose(): void {
    this.registered.dispose();
  }
}
