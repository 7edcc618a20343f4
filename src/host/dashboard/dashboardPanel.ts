import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type {
  HostMessage,
  OpenTarget,
  PageMessage,
  RunRequest,
} from '../../shared/pages/dashboard/protocol';
import { asPageMessage } from '../../shared/pages/dashboard/guards';
import { COMMANDS } from '../commands/commandTable';
import { metricsCsv } from './csv';
import { copyError, openErrorPlace } from './errorActions';
import type { ConnectRun } from './follower';
import { RunSource } from './runSource';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import type { PanelPage } from '../webview/panelSet';
import { copyText, savePicture } from '../webview/copyAndSave';
import { fileName } from '../text/fileName';
import { askWhereToSave } from '../ui/inputs';
import { setTitle } from '../ui/panels';

/** What the pages need. */
export interface DashboardOptions extends PanelHost {
  readonly connect: ConnectRun;
}

const OPEN_COMMANDS: Readonly<Record<OpenTarget, string>> = {
  recipe: COMMANDS.openRecipe.id,
  adapter: COMMANDS.revealAdapter.id,
  model: COMMANDS.revealModel.id,
  log: COMMANDS.openRunLog.id,
};

/**
 * The panel of one run. The page sends `ready` whenever VS Code has loaded it. While it is hidden,
 * nothing is read.
 */
export class DashboardPanel implements PanelPage {
  private readonly source: RunSource;
  private readonly disposables: vscode.Disposable[] = [];
  private readonly post: (message: HostMessage) => void;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly runDir: string,
    private readonly options: DashboardOptions,
  ) {
    this.post = sender(panel);
    this.source = new RunSource(
      runDir,
      options.connect,
      (message) => this.send(message),
      () => vscode.workspace.isTrusted,
    );
    const { webview } = panel;
    if (panel.title === '') setTitle(panel, titleOf(runDir));
    this.disposables.push(
      webview.onDidReceiveMessage((message: unknown) => {
        this.receive(message);
      }),
      panel.onDidChangeViewState(() => {
        if (!panel.visible) this.source.stop();
      }),
    );
    openPage(webview, {
      extensionUri: options.extensionUri,
      page: 'dashboard',
      facts: { 'run-dir': runDir },
    });
  }

  dispose(): void {
    this.source.stop();
    for (const disposable of this.disposables) disposable.dispose();
  }

  private send(message: HostMessage): void {
    if ((message.kind === 'snapshot' || message.kind === 'run') && message.run)
      setTitle(this.panel, message.run.name);
    this.post(message);
  }

  private receive(value: unknown): void {
    const checked = asPageMessage(value);
    if ('fault' in checked)
      this.options.log(`Dashboard: a message of the page was not understood: ${checked.fault}`);
    else
      this.handle(checked.message).catch((error: unknown) =>
        this.options.report(LoraError.from(error, 'run')),
      );
  }

  private async handle(message: PageMessage): Promise<void> {
    const { runDir, source } = this;
    switch (message.kind) {
      case 'ready':
        return source.start();
      case 'request':
        return this.request(message.request);
      case 'continue':
        return vscode.commands.executeCommand(COMMANDS.resumeRun.id, runDir);
      case 'open':
        return vscode.commands.executeCommand(OPEN_COMMANDS[message.what], runDir);
      case 'openPlace':
        return openErrorPlace(message.place, source.status.error);
      case 'copyError':
        return copyError(source.status.error);
      case 'export':
        return this.exportCsv();
      case 'savePicture':
        return savePicture({ ...message, name: `${this.name}-${message.name}` }, runDir);
      case 'copyText':
        return copyText(message.text);
      case 'trouble':
        this.options.log(`Dashboard: ${message.message}`);
    }
  }

  private async request(request: RunRequest): Promise<void> {
    try {
      await this.source.request(request);
    } finally {
      this.send({ kind: 'answered', request });
    }
  }

  private get name(): string {
    return this.source.run?.name ?? titleOf(this.runDir);
  }

  private async exportCsv(): Promise<void> {
    const target = await askWhereToSave(this.runDir, `${fileName(this.name)}.csv`, {
      CSV: ['csv'],
    });
    if (target)
      await vscode.workspace.fs.writeFile(
        target,
        Buffer.from(metricsCsv(this.source.metrics), 'utf8'),
      );
  }
}

function titleOf(runDir: string): string {
  return path.basename(runDir);
}
