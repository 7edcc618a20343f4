import { setTimeout } from 'node:timers/promises';
import { LoraError } from '../../shared/errors';
import { isActive, readFoundRun, type FoundRun } from '../sweep/foundRuns';
import { runTraining } from '../sweep/trainingProcess';

/** How long a run may take to save what it has trained, once it was told to stop. */
const ENDS_MS = 120_000;
const POLL_MS = 500;

/** How runs are ended. */
export interface Ending {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  readonly ends_ms?: number;
}

/**
 * Ends runs that nobody stops at their rungs, as a tune that was killed leaves them.
 *
 * @throws LoraError('run') for one that does not end in time
 */
export async function endLeftRuns(runs: readonly FoundRun[], ending: Ending): Promise<void> {
  for (const { dir } of runs.filter(isActive)) await endRun(dir, ending);
}

async function endRun(dir: string, { cli, signal, ends_ms = ENDS_MS }: Ending): Promise<void> {
  const late = AbortSignal.timeout(ends_ms);
  const either = AbortSignal.any([signal, late]);
  await stopRun(cli, dir, either).catch(() => undefined);
  while (!signal.aborted) {
    const now = await readFoundRun(dir);
    if (!now || !isActive(now)) return;
    if (late.aborted) throw doesNotEnd(dir);
    await setTimeout(POLL_MS, null, { signal: either }).catch(() => undefined);
  }
}

const doesNotEnd = (dir: string): LoraError =>
  new LoraError('run', 'A run that the tune has left is still training, and does not stop.', {
    place: { file: dir },
    fix: 'End its process, also on its target (lora stop --kill), and continue (--resume).',
  });

/** Asks the engine of a run to stop. @throws LoraError */
export const stopRun = (cli: string, dir: string, signal: AbortSignal): Promise<void> =>
  runTraining({
    cli,
    args: ['stop', dir],
    signal,
    onMetric: () => undefined,
    onWarning: () => undefined,
  });
