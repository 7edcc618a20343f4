import { readFileSync, writeFileSync } from 'node:fs';

/** What a piece of work used. */
export interface Usage {
  /**
   * Milliseconds of all threads of the process. Unlike the time on the clock it hardly depends on
   * what else the machine does.
   */
  readonly cpu: number;
  /** Bytes by which the peak of the resident memory was above what it was before. */
  readonly memory: number;
}

/** Runs the work, and measures what the process uses meanwhile. */
export async function measured(work: () => Promise<void>): Promise<Usage> {
  const before = process.memoryUsage.rss();
  forgetPeak();
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return { cpu: (user + system) / 1000, memory: Math.max(0, peak() - before) };
}

/** Linux can set the peak back to the present size. */
function forgetPeak(): void {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
}

/** Elsewhere it is the peak since the process began: work that stays below it counts as nothing. */
function peak(): number {
  if (process.platform !== 'linux') return 1024 * process.resourceUsage().maxRSS;
  const status = readFileSync('/proc/self/status', 'utf8');
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]);
}
