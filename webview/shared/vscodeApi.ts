/** What VS Code gives a page: messages to its host, and a state that outlives reloads. */
export interface VsCodeApi<Message, State> {
  postMessage(message: Message): void;
  getState(): unknown;
  setState(state: State): void;
}

declare function acquireVsCodeApi(): VsCodeApi<unknown, unknown>;

/** May be asked for once a page. */
export const vscodeApi = <Message, State = never>(): VsCodeApi<Message, State> =>
  acquireVsCodeApi();
