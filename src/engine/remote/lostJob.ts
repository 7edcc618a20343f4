import path from 'node:path';
import { readTail } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import type { JobState } from '../../targets/target';

/** Exit codes of a shell for programs that a signal ended. */
const SIGNALS_FROM = 128;

const SHOWN_BYTES = 2_000;

/** The last output of the remote engine. */
export const logTail = (run_dir: string): Promise<string> =>
  readTail(path.join(run_dir, RUN_FILES.remoteLog), {
    maxBytes: SHOWN_BYTES,
    links: 'refused',
  }).then(
    ({ text }) => text.trim().split('\n').slice(-5).join('\n'),
    () => '',
  );

/** The job of a run has ended, and its engine could not record why. */
export class LostJob extends LoraError {
  constructor(reason: string) {
    super('target', reason, {
      fix: 'Resume the run from its last checkpoint (lora train --resume).',
    });
  }
}

/** Why a job has ended that left no word. */
export function lostReason(
  state: JobState,
  { name, log }: { readonly name: string; readonly log: string },
): string {
  if (state.kind === 'unknown') return `${name} no longer knows the run.`;
  const { exitCode = null, reason = null } = state.kind === 'ended' ? state : {};
  if (exitCode !== null && exitCode < SIGNALS_FROM && log !== '')
    return `The engine on ${name} ended: ${log}`;
  const why = reason ?? 'it was killed, or the machine was restarted';
  return `The engine on ${name} ended without a message: ${asPart(why)}.`;
}

/** A reason within a sentence: some targets give one with its full stop. */
export const asPart = (reason: string): string => reason.replace(/\.$/, '');
