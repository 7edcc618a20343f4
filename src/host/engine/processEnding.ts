import { t } from '../text/l10n';

/** How a child process ended: by itself with a code, or by a signal. */
export interface ProcessEnding {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to standard error. */
  readonly stderr: string;
}

const OUT_OF_MEMORY = /heap out of memory|bad_alloc|OOM when allocating/i;

/** Why a process ended without a result, in a sentence for the user. */
export function describeEnding({ code, signal, stderr }: ProcessEnding): string {
  if (OUT_OF_MEMORY.test(stderr))
    return t('The process ran out of memory. Close other programs, or choose a smaller model.');
  if (signal === 'SIGKILL')
    return t(
      'The system ended the process (SIGKILL), most often because memory ran out. Close other programs, or choose a smaller model.',
    );
  const output = stderr.trim();
  if (output !== '') return output;
  return signal === null
    ? t('The process ended with exit code {0} without any output.', String(code))
    : t('The process was ended by the signal {0}.', signal);
}
