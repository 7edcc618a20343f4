import type { ComparePageMessage, ComparePageState } from '../../src/shared/comparison';

interface VsCodeApi {
  postMessage(message: ComparePageMessage): void;
  getState(): unknown;
  setState(state: ComparePageState): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be asked for once a page. */
export const vscode = acquireVsCodeApi();
