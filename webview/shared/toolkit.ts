import { provideVSCodeDesignSystem } from '@vscode/webview-ui-toolkit';

// The only module that imports the toolkit, which is no longer developed.
export {
  vsCodeButton as button,
  vsCodeCheckbox as checkbox,
  vsCodeDataGrid as dataGrid,
  vsCodeDataGridCell as dataGridCell,
  vsCodeDataGridRow as dataGridRow,
  vsCodePanels as panels,
  vsCodePanelTab as panelTab,
  vsCodePanelView as panelView,
  vsCodeProgressRing as progressRing,
} from '@vscode/webview-ui-toolkit';

/**
 * Defines the toolkit's elements that a page uses. The badge must not be among them: its template
 * has a style attribute, which the content security policy blocks.
 */
export function defineElements(...elements: readonly object[]): void {
  provideVSCodeDesignSystem().register(...elements);
}

/** Rows and columns of a `vscode-data-grid`, to be set as properties. */
export interface DataGridColumn {
  readonly columnDataKey: string;
  readonly title: string;
}
