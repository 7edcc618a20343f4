/** Something that is released by a call; structurally VS Code's Disposable, without its module. */
export interface Disposable {
  dispose(): void;
}

/** An event emitter for code that must run without the `vscode` module. */
export class Signal<T = void> implements Disposable {
  private readonly listeners = new Set<(value: T) => void>();

  /** Subscribes a listener until the returned Disposable is disposed. */
  readonly event = (listener: (value: T) => void): Disposable => {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  };

  /** Calls every listener, in the order of subscription. */
  fire(value: T): void {
    for (const listener of [...this.listeners]) listener(value);
  }

  /** Removes all listeners. */
  dispose(): void {
    this.listeners.clear();
  }
}
