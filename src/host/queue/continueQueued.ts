import type { Launcher } from '../engine/launcher';
import { canResume } from '../runs/run';
import type { RunStore } from '../runs/runStore';
import type { ContinuedRun } from './runQueue';

/**
 * Continues a run whose turn has come, without showing it; one that was deleted or has ended
 * meanwhile is left out. False: the user declined to install a runtime.
 *
 * @throws LoraError as `Launcher.resume` does.
 */
export async function continueQueued(
  { resume }: ContinuedRun,
  { store, launcher }: { readonly store: Pick<RunStore, 'find'>; readonly launcher: Resumes },
): Promise<boolean> {
  const run = store.find(resume);
  if (!run || !canResume(run)) return true;
  return launcher.resume(resume, { show: false });
}

type Resumes = Pick<Launcher, 'resume'>;
