import path from 'node:path';
import * as vscode from 'vscode';
import type { Disposable } from '../../common/signal';
import { RUN_EVALUATION } from '../../shared/evaluation/result';
import { LoraError } from '../../shared/errors';
import type {
  AdvisedKey,
  HostMessage,
  NextStep,
  OpenTarget,
  PageMessage,
  RunRequest,
  RuntimeRequest,
  RuntimeWait,
} from '../../shared/pages/dashboard/protocol';
import { asPageMessage } from '../../shared/pages/dashboard/guards';
import { COMMANDS } from '../commands/commandTable';
import type { Launcher } from '../engine/launcher';
import { metricsCsv } from './csv';
import { copyError, openErrorPlace } from './errorActions';
import type { ConnectRun } from './follower';
import { openChanges, openCommit, originOf, type RunOrigin } from '../git/origin';
import { repeatCommand } from '../git/repeatCommand';
import { labelsOf, type RunLabels } from './runLabels';
import { RunSource } from './runSource';
import { openSetting } from './openSetting';
import type { RunStore } from '../runs/runStore';
import { confirmedSender, openPage } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import type { PanelPage } from '../webview/panelSet';
import { copyText, savePicture } from '../webview/copyAndSave';
import { fileName } from '../text/fileName';
import { askWhereToSave } from '../ui/inputs';
import { setTitle } from '../ui/panels';

/** What the pages need. */
export interface DashboardOptions extends PanelHost {
  readonly connect: ConnectRun;
  readonly store: Pick<RunStore, 'runs' | 'onDidChange'>;
  readonly launcher: Pick<Launcher, 'waitOf' | 'onDidChangeWait'>;
}

const OPEN_COMMANDS: Readonly<Record<Exclude<OpenTarget, 'commit' | 'changes'>, string>> = {
  recipe: COMMANDS.openRecipe.id,
  adapter: COMMANDS.revealAdapter.id,
  model: COMMANDS.revealModel.id,
  log: COMMANDS.openRunLog.id,
};

const RUNTIME_COMMANDS: Readonly<Record<RuntimeRequest, string>> = {
  install: COMMANDS.installRuntime.id,
  ask: COMMANDS.askRuntime.id,
};

/** Messages that belong to no run. */
type PageNews = Extract<PageMessage, { readonly kind: 'ready' | 'shown' | 'trouble' }>;

const isPageNews = (message: PageMessage): message is PageNews =>
  ['ready', 'shown', 'trouble'].includes(message.kind);

/**
 * The panel of one run, later of another. The page sends `ready` whenever VS Code has loaded it.
 * While it is hidden, nothing is read.
 */
export class DashboardPanel implements PanelPage {
  private source: RunSource;
  /** Whether the page can receive messages. */
  private loaded = false;
  /** The folder of the run that the page shows. */
  private shown: string | null = null;
  private readonly disposables: readonly Disposable[];
  private readonly post: (message: HostMessage) => Promise<unknown>;
  private origin: RunOrigin | null = null;
  /** The labels that were sent last. */
  private labelled = '';

  constructor(
    readonly panel: vscode.WebviewPanel,
    private runDir: string,
    private readonly options: DashboardOptions,
  ) {
    this.post = confirmedSender(panel);
    this.source = this.newSource();
    const { webview } = panel;
    if (panel.title === '') setTitle(panel, this.labels?.title ?? titleOf(runDir));
    this.disposables = [
      webview.onDidReceiveMessage((message: unknown) => {
        this.receive(message);
      }),
      panel.onDidChangeViewState(() => {
        if (panel.visible) return;
        this.loaded = false;
        this.source.stop();
      }),
      options.store.onDidChange(() => this.label()),
      options.launcher.onDidChangeWait(() => this.tellWait()),
    ];
    if (panel.visible) this.source.prepare();
    openPage(webview, {
      extensionUri: options.extensionUri,
      page: 'dashboard',
      facts: { 'run-dir': runDir },
    });
  }

  /** Shows another run in the same page, which is much faster than to load it again. */
  show(runDir: string): void {
    this.source.stop();
    this.runDir = runDir;
    this.origin = null;
    this.source = this.newSource();
    setTitle(this.panel, this.labels?.title ?? titleOf(runDir));
    if (this.loaded) this.start();
    else this.source.prepare();
  }

  dispose(): void {
    this.source.stop();
    for (const disposable of this.disposables) disposable.dispose();
  }

  private newSource(): RunSource {
    const source: RunSource = new RunSource(
      this.runDir,
      this.options.connect,
      async (message) => {
        if (source === this.source) await this.send(message);
      },
      () => vscode.workspace.isTrusted,
    );
    source.isExpected = this.wait !== null;
    return source;
  }

  private start(): void {
    this.source.outline().catch((error: unknown) => this.options.report(error));
  }

  private send(message: HostMessage): Promise<unknown> {
    const sent = this.post(message);
    if (message.kind === 'snapshot') {
      this.labelled = '';
      this.label();
      this.tellWait();
    }
    if (message.kind === 'snapshot' || message.kind === 'run')
      this.readOrigin().catch((error: unknown) => this.options.log(String(error)));
    return sent;
  }

  private get wait(): RuntimeWait | null {
    return this.options.launcher.waitOf(this.runDir);
  }

  /** Tells the page what the run waits for. */
  private tellWait(): void {
    const { wait } = this;
    this.source.isExpected = wait !== null;
    void this.post({ kind: 'wait', for: wait });
  }

  private get labels(): RunLabels | null {
    return labelsOf(this.options.store.runs, this.runDir, Date.now());
  }

  /** Tells the tab and the page what the run is called, when that has changed. */
  private label(): void {
    const { labels } = this;
    const text = JSON.stringify([labels, this.origin]);
    if (!labels || text === this.labelled) return;
    this.labelled = text;
    setTitle(this.panel, labels.title);
    void this.post({
      kind: 'labels',
      ...labels.message,
      changed_files: this.origin?.changed_files ?? null,
      commit_page: typeof this.origin?.commit_page === 'string',
      command: repeatCommand(this.runDir),
    });
  }

  /** Reads from which commit and files the run started. */
  private async readOrigin(): Promise<void> {
    const { source, runDir } = this;
    const origin = await originOf(runDir, source.run?.git_commit ?? null);
    if (source !== this.source) return;
    this.origin = origin;
    this.label();
  }

  private async open(what: OpenTarget): Promise<void> {
    if (what === 'changes') await openChanges(this.runDir);
    else if (what === 'commit') await openCommit(this.origin?.commit_page ?? null);
    else await vscode.commands.executeCommand(OPEN_COMMANDS[what], this.runDir);
  }

  private openSetting(key: AdvisedKey): Promise<void> {
    const recipe = this.source.run?.recipe_path ?? null;
    return openSetting(recipe, key, () => this.open('recipe'));
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
    if (isPageNews(message)) return this.handleNews(message);
    // what was clicked while the page showed another run is not meant for this one
    if (this.shown === this.runDir) return this.handleRun(message);
  }

  private async handleNews(message: PageNews): Promise<void> {
    switch (message.kind) {
      case 'ready':
        this.loaded = true;
        return this.source.outline();
      case 'shown':
        this.shown = message.run_dir;
        return;
      case 'trouble':
        this.options.log(`Dashboard: ${message.message}`);
    }
  }

  private async handleRun(message: Exclude<PageMessage, PageNews>): Promise<void> {
    const { runDir, source } = this;
    switch (message.kind) {
      case 'allSteps':
        return source.start();
      case 'request':
        return this.request(message.request);
      case 'continue':
        return vscode.commands.executeCommand(COMMANDS.resumeRun.id, runDir);
      case 'open':
        return this.open(message.what);
      case 'next':
        return this.goOn(message.what);
      case 'reconnect':
        return vscode.commands.executeCommand(COMMANDS.reconnectRun.id, runDir);
      case 'runtime':
        return vscode.commands.executeCommand(RUNTIME_COMMANDS[message.what]);
      case 'openSetting':
        return this.openSetting(message.key);
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
    }
  }

  private async request(request: RunRequest): Promise<void> {
    try {
      await this.source.request(request);
    } finally {
      await this.send({ kind: 'answered', request });
    }
  }

  /** The next steps offered for a run that has ended. */
  private async goOn(what: NextStep): Promise<void> {
    const { runDir } = this;
    const inner = this.source.run?.result.adapter;
    const adapter = typeof inner === 'string' ? path.join(runDir, inner) : undefined;
    const previous = this.labels?.previous ?? null;
    const pair = adapter !== undefined && previous !== null ? [previous, adapter] : adapter;
    const steps: Readonly<Record<NextStep, readonly [command: string, argument: unknown]>> = {
      tryAdapter: [COMMANDS.tryAdapter.id, adapter],
      tryModel: [COMMANDS.tryModel.id, runDir],
      merge: [COMMANDS.mergeAdapter.id, adapter],
      export: [COMMANDS.convertAdapter.id, adapter],
      compare: [COMMANDS.compareAdapters.id, pair],
      evaluate: [COMMANDS.evaluate.id, adapter],
      openEvaluation: [COMMANDS.openEvaluation.id, path.join(runDir, RUN_EVALUATION)],
      runAgain: [COMMANDS.runAgain.id, runDir],
    };
    await vscode.commands.executeCommand(...steps[what]);
  }

  private get name(): string {
    return this.labels?.message.name ?? this.source.run?.name ?? titleOf(this.runDir);
  }

  private async exportCsv(): Promise<void> {
    const { source } = this;
    const target = await askWhereToSave(this.runDir, `${fileName(this.name)}.csv`, {
      CSV: ['csv'],
    });
    if (target)
      await vscode.workspace.fs.writeFile(
        target,
        Buffer.from(metricsCsv(await source.metrics()), 'utf8'),
      );
  }
}

function titleOf(runDir: string): string {
  return path.basename(runDir);
}
