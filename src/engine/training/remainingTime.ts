/**
 * Estimates the time left from the mean speed since this process started. Its first step, which is
 * slower than the others, does not count.
 */
export class RemainingTime {
  private first: { readonly step: number; readonly elapsed: number } | null = null;

  /**
   * Seconds until step `total`; null while unknown. `elapsed`: seconds of training up to `step`.
   * Call it once a step.
   */
  after(step: number, elapsed: number, total: number | null): number | null {
    this.first ??= { step, elapsed };
    const steps = step - this.first.step;
    if (steps === 0 || total === null) return null;
    return ((elapsed - this.first.elapsed) / steps) * (total - step);
  }
}
