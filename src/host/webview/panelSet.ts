import * as vscode from 'vscode';
import { openPanel, type PanelPlace } from '../ui/panels';

/** What a panel shows. */
export interface PanelPage {
  readonly panel: vscode.WebviewPanel;
  /** Stops reading and listening. The tab stays open, so that VS Code can restore it. */
  dispose(): void;
}

/** How a set of panels works. */
export interface PanelSetOptions<S, P extends PanelPage> {
  /** The view type. */
  readonly view: string;
  /** The subject of a page that VS Code restores; undefined when its state is invalid. */
  readonly subjectOf: (state: unknown) => S | undefined;
  /** Subjects with equal keys share a panel. */
  readonly keyOf: (subject: S) => string;
  readonly make: (panel: vscode.WebviewPanel, subject: S) => P;
  /** Shows another subject in the panel of a page; only needed for `preview`. */
  readonly reuse?: (page: P, subject: S) => void;
}

/**
 * The panels of one kind, one for each subject. It must be created at activation, so that VS Code
 * can restore the panels after a reload of the window.
 */
export class PanelSet<S, P extends PanelPage> implements vscode.Disposable {
  private readonly pages = new Map<string, P>();
  private readonly serializer: vscode.Disposable;
  /** The page that `preview` uses again. */
  private previewed: P | undefined;

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

  /** The key of the subject whose panel is the active editor. */
  get active(): string | undefined {
    return [...this.pages].find(([, { panel }]) => panel.active)?.[0];
  }

  /**
   * Shows a subject without taking the focus, in the panel of the last preview unless that was
   * pinned.
   */
  preview(subject: S): void {
    const key = this.options.keyOf(subject);
    const place = { viewColumn: vscode.ViewColumn.Active, preserveFocus: true };
    const { previewed } = this;
    if (this.pages.has(key)) this.reveal(subject, place);
    else if (previewed && this.options.reuse) {
      this.remove(previewed);
      this.pages.set(key, previewed);
      this.options.reuse(previewed, subject);
      previewed.panel.reveal(undefined, true);
    } else this.previewed = this.adopt(openPanel(this.options.view, place), subject);
  }

  /** Opens the panel of a subject. If it is open already, `again` is called, which reveals it. */
  show(
    subject: S,
    place: PanelPlace = { viewColumn: vscode.ViewColumn.Active },
    again?: (page: P) => void,
  ): void {
    if (this.previewed && this.pages.get(this.options.keyOf(subject)) === this.previewed)
      this.previewed = undefined;
    this.reveal(subject, place, again);
  }

  private reveal(
    subject: S,
    place: PanelPlace,
    again: (page: P) => void = ({ panel }) => panel.reveal(undefined, place.preserveFocus),
  ): void {
    const open = this.pages.get(this.options.keyOf(subject));
    if (open) again(open);
    else this.adopt(openPanel(this.options.view, place), subject);
  }

  /** Closes the panel of a subject, if it is open. */
  close(subject: S): void {
    this.pages.get(this.options.keyOf(subject))?.panel.dispose();
  }

  dispose(): void {
    this.serializer.dispose();
    for (const page of this.pages.values()) page.dispose();
  }

  private adopt(panel: vscode.WebviewPanel, subject: S): P {
    const page = this.options.make(panel, subject);
    this.pages.set(this.options.keyOf(subject), page);
    panel.onDidDispose(() => {
      if (this.previewed === page) this.previewed = undefined;
      this.remove(page);
      page.dispose();
    });
    return page;
  }

  private remove(page: P): void {
    for (const [key, own] of this.pages) if (own === page) this.pages.delete(key);
  }
}
