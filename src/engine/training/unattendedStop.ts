/** Stops a run once no client has been connected for a time that a client has set. */
export class UnattendedStop {
  private seconds: number | null = null;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stop: () => void) {}

  /** Null: the run continues without clients. Takes effect when the last client has left. */
  setDelay(seconds: number | null): void {
    this.seconds = seconds;
  }

  /** To be called whenever the number of connected clients changes. */
  clientsChanged(count: number): void {
    clearTimeout(this.timer);
    if (count > 0 || this.seconds === null) return;
    this.timer = setTimeout(this.stop, this.seconds * 1000);
  }

  /** Cancels a stop that is about to happen. */
  cancel(): void {
    clearTimeout(this.timer);
  }
}
