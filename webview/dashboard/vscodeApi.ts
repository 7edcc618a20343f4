import type { PageMessage, PageState } from '../../src/shared/webview';

interface VsCodeApi {
  postMessage(message: PageMessage): void;
  getState(): unknown;
  setState(state: PageState): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be asked for once a page. */
export const vscode = acquireVsCodeApi();
