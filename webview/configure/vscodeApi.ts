import type { ConfigurePageMessage, ConfigurePageState } from '../../src/shared/configure';

interface VsCodeApi {
  postMessage(message: ConfigurePageMessage): void;
  getState(): unknown;
  setState(state: ConfigurePageState): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be asked for once a page. */
export const vscode = acquireVsCodeApi();
