import * as vscode from 'vscode';
import {
  asRunsPageMessage,
  type RunsHostMessage,
  type RunsPageMessage,
} from '../../shared/pages/runs/protocol';
import { COMMANDS } from '../commands/commandTable';
import type { DashboardPanels } from '../dashboard/dashboardPanels';
import { VIEWS } from '../manifest/ids';
import type { RunStore } from '../runs/runStore';
import { tableRowOf } from '../runs/tableRow';
import { t } from '../text/l10n';
import { setTitle } from '../ui/panels';
import { copyText } from '../webview/copyAndSave';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';

/** What the page needs. */
export interface RunsTableOptions extends PanelHost {
  readonly store: RunStore;
  readonly dashboards: DashboardPanels;
}

const ONLY = 'runs';

/** The page with the table of runs, of which there is one. */
export const runsTablePanels = (options: RunsTableOptions): PanelSet<typeof ONLY, RunsTablePanel> =>
  new PanelSet({
    view: VIEWS.runsTable,
    subjectOf: () => ONLY,
    keyOf: (subject) => subject,
    make: (panel: vscode.WebviewPanel) => new RunsTablePanel(panel, options),
  });

/** The page sends `ready` whenever VS Code has loaded it. */
class RunsTablePanel implements PanelPage {
  private readonly disposables: readonly { dispose(): unknown }[];
  private readonly send: (message: RunsHostMessage) => void;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly options: RunsTableOptions,
  ) {
    this.send = sender(panel);
    setTitle(panel, t('Runs'));
    this.disposables = [
      panel.webview.onDidReceiveMessage((message: unknown) => this.receive(message)),
      options.store.onDidChange(() => this.update()),
    ];
    openPage(panel.webview, { extensionUri: options.extensionUri, page: 'runs', facts: {} });
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private receive(value: unknown): void {
    const message = asRunsPageMessage(value);
    if (message) this.handle(message).catch((error: unknown) => this.options.report(error));
    else this.options.log('Runs: a message of the page was not understood');
  }

  private async handle(message: RunsPageMessage): Promise<void> {
    switch (message.kind) {
      case 'ready':
        await this.options.store.refresh();
        this.update();
        return;
      case 'open':
        this.options.dashboards.show(message.dir);
        return;
      case 'overlay':
        return vscode.commands.executeCommand(COMMANDS.overlayRuns.id, message.dirs);
      case 'copyText':
        return copyText(message.text);
      case 'trouble':
        this.options.log(`Runs: ${message.message}`);
    }
  }

  private update(): void {
    const { store } = this.options;
    if (this.panel.visible)
      this.send({
        kind: 'runs',
        rows: store.runs.map((run) => tableRowOf(run, store.record(run.dir))),
      });
  }
}
