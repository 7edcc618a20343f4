import path from 'node:path';
import * as vscode from 'vscode';
import { asConfigurePageMessage, asConfigurePageState } from '../../shared/configure';
import { CONFIGURE_STRINGS } from '../../shared/configureStrings';
import { VIEWS } from '../ids';
import { t } from '../l10n';
import { openPlace } from '../openPlace';
import { localized, openPage, sender } from '../webview/page';
import { ConfigureSession, type ConfigureParts } from './configureSession';

export interface ConfigurePanelOptions extends ConfigureParts {
  readonly extensionUri: vscode.Uri;
  readonly report: (error: unknown) => void;
  readonly log: (message: string) => void;
}

/** The pages that configure rank and targets, one a recipe. */
export class ConfigurePanels implements vscode.Disposable {
  private readonly panels = new Map<string, vscode.WebviewPanel>();
  private readonly serializer: vscode.Disposable;

  constructor(private readonly options: ConfigurePanelOptions) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(VIEWS.configure, {
      deserializeWebviewPanel: (panel, value) => {
        const state = asConfigurePageState(value);
        if (!state || this.panels.has(state.recipe)) panel.dispose();
        else this.adopt(panel, state.recipe);
        return Promise.resolve();
      },
    });
  }

  show(recipe: vscode.Uri): void {
    const open = this.panels.get(recipe.fsPath);
    if (open) open.reveal();
    else this.adopt(vscode.window.createWebviewPanel(VIEWS.configure, '', vscode.ViewColumn.Active), recipe.fsPath);
  }

  dispose(): void {
    this.serializer.dispose();
    for (const panel of this.panels.values()) panel.dispose();
  }

  private adopt(panel: vscode.WebviewPanel, recipe: string): void {
    this.panels.set(recipe, panel);
    const { webview } = panel;
    const session = new ConfigureSession(vscode.Uri.file(recipe), this.options, sender(panel));
    const told = (done: Promise<void>) => done.catch((error: unknown) => this.options.report(error));
    const listener = webview.onDidReceiveMessage((value: unknown): unknown => {
      const message = asConfigurePageMessage(value);
      switch (message?.kind) {
        case 'ready': return told(session.start());
        case 'preview': session.preview(message.settings, message.chosen); return undefined;
        case 'apply': return told(session.apply(message.id, message.settings, message.chosen));
        case 'act': return told(session.act(message.act));
        case 'openRecipe': return told(openPlace({ file: recipe }));
        case 'openGuide': return vscode.commands.executeCommand('markdown.showPreview', vscode.Uri.joinPath(this.options.extensionUri, 'media', 'guide', 'rank.md'));
        default:
          this.options.log(`Configure rank: ${message ? message.message : 'a message of the page was not understood'}`);
          return undefined;
      }
    });
    panel.onDidDispose(() => {
      listener.dispose();
      session.dispose();
      this.panels.delete(recipe);
    });
    panel.title = t('Rank of {0}', path.basename(recipe));
    openPage(webview, { extensionUri: this.options.extensionUri, name: 'configure', strings: localized(CONFIGURE_STRINGS), facts: { recipe } });
  }
}
