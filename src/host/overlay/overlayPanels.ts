import path from 'node:path';
import * as vscode from 'vscode';
import {
  asOverlayPageMessage,
  asOverlayPageState,
  type OverlayHostMessage,
  type OverlaySubject,
  type ShownSweep,
  type ShownTune,
} from '../../shared/pages/overlay/protocol';
import type { DashboardPanels } from '../dashboard/dashboardPanels';
import type { ConnectRun } from '../dashboard/follower';
import { RunSource } from '../dashboard/runSource';
import { VIEWS } from '../manifest/ids';
import { t } from '../text/l10n';
import { setTitle } from '../ui/panels';
import type { RunQueue } from '../queue/runQueue';
import { readSweep } from '../../formats/run/sweepFolder';
import { readTune } from '../../formats/run/tuneFile';
import { isTune, sweepName, varyRankAlone } from '../../shared/sweep/places';
import type { SweepRecord } from '../../shared/sweep/record';
import { distinctNames, runDetails } from '../runs/distinctNames';
import type { RunStore } from '../runs/runStore';
import { confirmedSender, openPage } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';
import { copyText, savePicture } from '../webview/copyAndSave';

/** What the pages need. */
export interface OverlayOptions extends PanelHost {
  readonly connect: ConnectRun;
  readonly store: RunStore;
  readonly queue: RunQueue;
  readonly dashboards: DashboardPanels;
}

/** The open pages, by their subject. */
export type OverlayPanels = PanelSet<OverlaySubject, OverlayPanel>;

/** The pages with the curves of several runs, one for each choice of runs. */
export const overlayPanels = (options: OverlayOptions): OverlayPanels =>
  new PanelSet({
    view: VIEWS.overlay,
    subjectOf: (state) => asOverlayPageState(state)?.subject,
    keyOf: (subject) => JSON.stringify(subject),
    make: (panel: vscode.WebviewPanel, subject: OverlaySubject) =>
      new OverlayPanel(panel, subject, options),
  });

/** The page sends `ready` whenever VS Code has loaded it. While it is hidden, nothing is read. */
class OverlayPanel implements PanelPage {
  private readonly sources = new Map<string, RunSource>();
  private readonly disposables: readonly { dispose(): unknown }[];
  private readonly send: (message: OverlayHostMessage) => Promise<unknown>;
  private live = false;
  private lastSent = '';
  private sweep: SweepRecord | null = null;
  private tune: ShownTune | null = null;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly subject: OverlaySubject,
    private readonly options: OverlayOptions,
  ) {
    const { webview } = panel;
    const { store, queue, extensionUri } = options;
    this.send = confirmedSender(panel);
    setTitle(panel, this.title());
    this.disposables = [
      webview.onDidReceiveMessage((message: unknown) => {
        this.receive(message);
      }),
      panel.onDidChangeViewState(() => {
        if (!panel.visible) this.suspend();
      }),
      store.onDidChange(() => this.follow()),
      queue.onDidChange(() => this.follow()),
    ];
    openPage(webview, {
      extensionUri,
      page: 'overlay',
      facts: { subject: JSON.stringify(subject) },
    });
  }

  dispose(): void {
    this.suspend();
    for (const disposable of this.disposables) disposable.dispose();
  }

  /** Stops following the runs. */
  private suspend(): void {
    this.live = false;
    for (const source of this.sources.values()) source.stop();
    this.sources.clear();
  }

  private receive(value: unknown): void {
    const message = asOverlayPageMessage(value);
    if (message) this.handle(message).catch((error: unknown) => this.options.report(error));
    else this.options.log('Overlay: a message of the page was not understood');
  }

  private async handle(
    message: NonNullable<ReturnType<typeof asOverlayPageMessage>>,
  ): Promise<void> {
    switch (message.kind) {
      case 'ready':
        return this.start();
      case 'open':
        this.options.dashboards.show(message.dir);
        return;
      case 'savePicture':
        return savePicture(message, vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '');
      case 'copyText':
        return copyText(message.text);
      case 'trouble':
        this.options.log(`Overlay: ${message.message}`);
    }
  }

  private async start(): Promise<void> {
    this.suspend();
    const { subject } = this;
    // sweeps of older versions have no file: they vary the rank
    if (subject.kind === 'sweep') this.sweep = await readSweep(subject.folder).catch(() => null);
    if (subject.kind === 'sweep' && isTune(subject.folder))
      this.tune = await shownTune(subject.folder);
    await this.options.store.refresh();
    setTitle(this.panel, this.title());
    this.live = true;
    this.lastSent = '';
    this.follow();
  }

  /** Sends the list of runs, and starts to follow new ones. */
  private follow(): void {
    if (!this.live) return;
    const runs = this.runs();
    const dirs = runs.map(({ dir }) => dir);
    const message = {
      kind: 'runs',
      title: this.title(),
      sweep: this.shownSweep(),
      waiting: this.queued().length,
      runs,
    } as const;
    if (JSON.stringify(message) !== this.lastSent) void this.send(message);
    this.lastSent = JSON.stringify(message);
    for (const [dir, source] of this.sources) {
      if (dirs.includes(dir)) continue;
      source.stop();
      this.sources.delete(dir);
    }
    for (const dir of dirs) {
      if (this.sources.has(dir)) continue;
      const source = new RunSource(
        dir,
        this.options.connect,
        (message) => this.send({ kind: 'of', dir, message }),
        () => vscode.workspace.isTrusted,
      );
      this.sources.set(dir, source);
      source.start().catch((error: unknown) => this.options.report(error));
    }
  }

  /** The runs of the subject, oldest first. */
  private runs(): { dir: string; name: string }[] {
    const { subject } = this;
    const fits = (dir: string, recipe: string | null) =>
      subject.kind === 'runs'
        ? subject.dirs.includes(dir)
        : recipe !== null && path.dirname(recipe) === subject.folder;
    const runs = this.options.store.runs.filter((run) => fits(run.dir, run.recipePath)).reverse();
    const names = distinctNames(runs.map((run) => ({ name: run.name, details: runDetails(run) })));
    return runs.map(({ dir }, i) => ({ dir, name: names[i]! }));
  }

  /** The recipes of the sweep that are queued. */
  private queued(): readonly string[] {
    const { subject } = this;
    return this.options.queue.items.flatMap((item) =>
      subject.kind === 'sweep' && 'recipe' in item && path.dirname(item.recipe) === subject.folder
        ? [item.recipe]
        : [],
    );
  }

  private shownSweep(): ShownSweep | null {
    const { subject, sweep } = this;
    if (subject.kind !== 'sweep') return null;
    const begun = new Set(
      [...this.queued(), ...this.options.store.runs.map(({ recipePath }) => recipePath)].map(
        (recipe) => recipe ?? '',
      ),
    );
    const missing = sweep?.runs.filter(
      ({ recipe }) => !begun.has(path.join(subject.folder, recipe)),
    );
    const { tune } = this;
    return {
      keys: sweep?.vary.map(({ key }) => key) ?? ['lora.r'],
      // of a tune, only as many begin as fit into its budget
      missing: tune ? 0 : (missing?.length ?? 0),
      tune,
    };
  }

  private title(): string {
    const { subject, sweep } = this;
    if (subject.kind === 'runs') return t('{0} {0|run|runs}', subject.dirs.length);
    const name = sweepName(subject.folder);
    if (isTune(subject.folder)) return t('Tune of {0}', name);
    return varyRankAlone(sweep?.runs.map(({ recipe }) => recipe) ?? [])
      ? t('Ranks of {0}', name)
      : t('Sweep of {0}', name);
  }
}

/** The range test of a tune; JSON of a page has no NaN. */
async function shownTune(folder: string): Promise<ShownTune> {
  const test = (await readTune(folder).catch(() => null))?.range_test;
  const points = (test?.points ?? [])
    .map(({ rate, smoothed }) => ({ rate, loss: smoothed }))
    .filter(({ loss }) => Number.isFinite(loss));
  return { points, suggestion: test?.suggestion ?? null };
}
