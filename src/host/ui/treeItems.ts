import * as vscode from 'vscode';
import { plain } from './plain';
import type { Tooltip } from './tooltip';

/** How a row of a tree is shown. */
export interface RowLook {
  readonly id: string;
  readonly label: string;
  readonly description: string;
  /** Words for when clauses. */
  readonly context: string;
  readonly icon?: string;
  readonly color?: string | null;
  readonly tooltip?: string;
  /** The label for screen readers. */
  readonly spoken?: string;
  readonly command?: vscode.Command;
  /** Without it the row has no rows below it. */
  readonly children?: 'shown' | 'hidden';
}

/** A row for VS Code. */
export function treeItem(look: RowLook): vscode.TreeItem {
  const item = new vscode.TreeItem(plain(look.label), collapsible(look.children));
  item.id = look.id;
  item.description = plain(look.description);
  item.contextValue = look.context;
  if (look.icon !== undefined)
    item.iconPath = new vscode.ThemeIcon(
      look.icon,
      typeof look.color === 'string' ? new vscode.ThemeColor(look.color) : undefined,
    );
  if (look.tooltip !== undefined) item.tooltip = plain(look.tooltip);
  if (look.spoken !== undefined) item.accessibilityInformation = { label: plain(look.spoken) };
  if (look.command) item.command = look.command;
  return item;
}

function collapsible(children: RowLook['children']): vscode.TreeItemCollapsibleState {
  switch (children) {
    case 'shown':
      return vscode.TreeItemCollapsibleState.Expanded;
    case 'hidden':
      return vscode.TreeItemCollapsibleState.Collapsed;
    case undefined:
      return vscode.TreeItemCollapsibleState.None;
  }
}

/** Sets the tooltip of a row that is shown already. */
export function setTooltip(item: vscode.TreeItem, tooltip: Tooltip): void {
  item.tooltip = new vscode.MarkdownString(tooltip.markdown);
}

/** Sets the text above the rows of a view; empty: none. */
export function setViewMessage(view: vscode.TreeView<unknown>, message: string): void {
  view.message = plain(message);
}
