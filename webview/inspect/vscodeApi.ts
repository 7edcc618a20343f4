import type { InspectPageMessage } from '../../src/shared/inspection';

interface VsCodeApi {
  postMessage(message: InspectPageMessage): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be asked for once a page. */
export const vscode = acquireVsCodeApi();
