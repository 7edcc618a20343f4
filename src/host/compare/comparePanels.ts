import * as vscode from 'vscode';
import {
  asComparePageMessage,
  asComparePageState,
  type CompareHostMessage,
  type ComparisonData,
} from '../../shared/pages/compare/protocol';
import { LoraError } from '../../shared/errors';
import { COMMANDS } from '../commands/commandTable';
import { VIEWS } from '../manifest/ids';
import { t } from '../text/l10n';
import { setTitle } from '../ui/panels';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';

/** The paths of two adapters. */
export type Pair = readonly [string, string];

/** What the pages need. */
export interface ComparePanelOptions extends PanelHost {
  readonly namesOf: (pair: Pair) => readonly [string, string];
  /** The folders of the runs that the adapters belong to. */
  readonly runsOf: (pair: Pair) => readonly string[];
  /** Compares two adapters for a page that VS Code restores. Undefined: cancelled. */
  readonly compare: (pair: Pair) => Promise<ComparisonData | undefined>;
  readonly openDiff: (pair: Pair) => Promise<void>;
}

interface Subject {
  readonly pair: Pair;
  /** Null: must be compared again. */
  readonly data: ComparisonData | null;
}

/** The pages that compare two adapters, one for each pair. */
export class ComparePanels implements vscode.Disposable {
  private readonly panels: PanelSet<Subject, ComparePanel>;

  constructor(options: ComparePanelOptions) {
    this.panels = new PanelSet<Subject, ComparePanel>({
      view: VIEWS.compare,
      keyOf: ({ pair }) => JSON.stringify(pair),
      make: (panel, { pair, data }) => new ComparePanel(panel, pair, data, options),
      subjectOf: (value) => {
        const state = asComparePageState(value);
        return state && { pair: [state.a, state.b], data: null };
      },
    });
  }

  /** Shows a comparison. */
  show(pair: Pair, data: ComparisonData): void {
    this.panels.show({ pair, data }, { viewColumn: vscode.ViewColumn.Active }, (page) =>
      page.show(data),
    );
  }

  dispose(): void {
    this.panels.dispose();
  }
}

/** The page sends `ready` whenever VS Code has loaded it. */
class ComparePanel implements PanelPage {
  private readonly disposables: vscode.Disposable[];
  private readonly send: (message: CompareHostMessage) => void;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly pair: Pair,
    private data: ComparisonData | null,
    private readonly options: ComparePanelOptions,
  ) {
    const { webview } = panel;
    this.send = sender(panel);
    this.disposables = [
      webview.onDidReceiveMessage((message: unknown) => {
        this.receive(message);
      }),
    ];
    setTitle(panel, t('{0} ↔ {1}', ...options.namesOf(pair)));
    openPage(webview, {
      extensionUri: options.extensionUri,
      page: 'compare',
      facts: { a: pair[0], b: pair[1] },
    });
  }

  show(data: ComparisonData): void {
    this.data = data;
    this.panel.reveal();
    this.sendComparison(data);
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private receive(value: unknown): void {
    const message = asComparePageMessage(value);
    switch (message?.kind) {
      case 'ready':
        void this.start();
        break;
      case 'try':
        void vscode.commands.executeCommand(COMMANDS.tryAdapter.id, this.pair);
        break;
      case 'curves':
        void vscode.commands.executeCommand(
          COMMANDS.overlayRuns.id,
          this.options.runsOf(this.pair),
        );
        break;
      case 'openDiff':
        this.options.openDiff(this.pair).catch((error: unknown) => this.options.report(error));
        break;
      default:
        this.options.log(
          `Comparison: ${message ? message.message : 'a message of the page was not understood'}`,
        );
    }
  }

  private async start(): Promise<void> {
    try {
      this.data ??= (await this.options.compare(this.pair)) ?? null;
      if (this.data) this.sendComparison(this.data);
      else this.send({ kind: 'failed', message: t('The job was cancelled.') });
    } catch (error) {
      this.send({ kind: 'failed', message: LoraError.from(error, 'adapter').describe() });
    }
  }

  private sendComparison(comparison: ComparisonData): void {
    this.send({
      kind: 'comparison',
      names: [...this.options.namesOf(this.pair)],
      curves: this.options.runsOf(this.pair).length > 1,
      comparison,
    });
  }
}
