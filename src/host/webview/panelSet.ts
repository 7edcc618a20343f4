import * as vscode from 'vscode';

/** What stands behind one panel. */
export interface PanelPage {
  readonly panel: vscode.WebviewPanel;
  /** Stops reading and listening; the tab stays, for VS Code to bring back after a reload. */
  dispose(): void;
}

export interface PanelSetOptions<S, P extends PanelPage> {
  /** The view type. */
  readonly view: string;
  /** What a page that VS Code brings back was about. Undefined: it cannot be told. */
  readonly subjectOf: (state: unknown) => S | undefined;
  /** Two subjects of one key share a panel. */
  readonly keyOf: (subject: S) => string;
  readonly make: (panel: vscode.WebviewPanel, subject: S) => P;
}

export interface PanelPlace {
  readonly viewColumn: vscode.ViewColumn;
  readonly preserveFocus?: boolean;
}

/**
 * Panels of one kind, one a subject, which outlive reloads of the window. Made at activation: it
 * tells VS Code how to bring them back.
 */
export class PanelSet<S, P extends PanelPage> implements vscode.Disposable {
  private readonly pages = new Map<string, P>();
  private readonly serializer: vscode.Disposable;

  constructor(private readonly options: PanelSetOptions<S, P>) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(options.view, {
      deserializeWebviewPanel: (panel, state) => {
        const subject = options.subjectOf(state);
        if (subject === undefined || this.pages.has(options.keyOf(subject))) panel.dispose();
        else this.adopt(panel, subject);
        return Promise.resolve();
      },
    });
  }

  /**
   * Opens the panel of a subject; the one that is open already is handed to `again`, which brings
   * it to the front.
   */
  show(
    subject: S,
    place: PanelPlace = { viewColumn: vscode.ViewColumn.Active },
    again: (page: P) => void = ({ panel }) => panel.reveal(undefined, place.preserveFocus),
  ): void {
    const open = this.pages.get(this.options.keyOf(subject));
    if (open) again(open);
    else this.adopt(vscode.window.createWebviewPanel(this.options.view, '', place), subject);
  }

  dispose(): void {
    this.serializer.dispose();
    for (const page of this.pages.values()) page.dispose();
  }

  private adopt(panel: vscode.WebviewPanel, subject: S): void {
    const key = this.options.keyOf(subject);
    const page = this.options.make(panel, subject);
    this.pages.set(key, page);
    panel.onDidDispose(() => {
      this.pages.delete(key);
      page.dispose();
    });
  }
}
