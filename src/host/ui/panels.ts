import * as vscode from 'vscode';
import { plain } from './plain';

/** Where a new panel is opened. */
export interface PanelPlace {
  readonly viewColumn: vscode.ViewColumn;
  readonly preserveFocus?: boolean;
}

/** Opens an empty panel, which has no title yet. */
export const openPanel = (view: string, place: PanelPlace): vscode.WebviewPanel =>
  vscode.window.createWebviewPanel(view, '', place);

/** Sets the title of a panel's tab. */
export function setTitle(panel: vscode.WebviewPanel, title: string): void {
  panel.title = plain(title);
}
