/** Work on the screen that is requested often and done once: in a frame, and not too often. */
export class Paced {
  private last = -Infinity;
  private frame: number | undefined;
  private timer: number | undefined;

  constructor(private readonly work: () => void) {}

  /** Does the work in the first frame that is at least `interval` ms after the last time. */
  within(interval: number): void {
    if (this.frame !== undefined) return;
    const wait = this.last + interval - performance.now();
    if (wait > 0) {
      this.timer ??= window.setTimeout(() => this.nextFrame(), wait);
      return;
    }
    this.nextFrame();
  }

  private nextFrame(): void {
    window.clearTimeout(this.timer);
    this.timer = undefined;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      this.last = performance.now();
      this.work();
    });
  }
}
