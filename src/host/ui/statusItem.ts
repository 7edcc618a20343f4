import * as vscode from 'vscode';
import { plain, plainLines, withIcon } from './plain';
import { Tooltip } from './tooltip';

/** What an item of the status bar shows. */
export interface StatusContent {
  readonly icon: string;
  readonly text: string;
  readonly tooltip: string | Tooltip;
}

/** An item of the status bar; hidden until it has something to show. */
export class StatusItem implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;

  /** `name`: what the menu of the status bar calls it. */
  constructor(
    id: string,
    name: string,
    place: { readonly alignment: vscode.StatusBarAlignment; readonly priority: number },
  ) {
    this.item = vscode.window.createStatusBarItem(id, place.alignment, place.priority);
    this.item.name = plain(name);
  }

  /** Shows the item. */
  show({ icon, text, tooltip }: StatusContent): void {
    this.item.text = withIcon(icon, text);
    this.item.tooltip =
      tooltip instanceof Tooltip
        ? new vscode.MarkdownString(tooltip.markdown)
        : plainLines(tooltip);
    this.item.show();
  }

  /** Hides the item. */
  hide(): void {
    this.item.hide();
  }

  /** Sets what a click does. */
  onClick(command: vscode.Command): void {
    this.item.command = command;
  }

  dispose(): void {
    this.item.dispose();
  }
}
