import { clearLine, isTerminal, replaceLine } from '../terminal';
import type { CommandContext } from './context';

const BAR_WIDTH = 24;

/** 0.5 -> [████████████░░░░░░░░░░░░] 50% */
export function progressBar(fraction: number): string {
  const done = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, fraction)));
  const bar = '█'.repeat(done) + '░'.repeat(BAR_WIDTH - done);
  return `[${bar}] ${Math.floor(100 * fraction)}%`;
}

/** Shows the progress and the warnings of a job. */
export interface JobProgress {
  readonly show: (phase: string, fraction: number) => void;
  readonly warn: (message: string) => void;
}

/**
 * Runs a job and shows its progress: a bar on a terminal, one JSON object per line with --json,
 * otherwise nothing.
 */
export async function withProgress<T>(
  context: Pick<CommandContext, 'json' | 'print' | 'warn'>,
  job: (progress: JobProgress) => Promise<T>,
): Promise<T> {
  const { show, warn, clear } = progressView(context);
  let lastPhase = '';
  let lastPercent = -1;
  const showChange = (phase: string, fraction: number): void => {
    const percent = Math.floor(100 * fraction);
    if (phase === lastPhase && percent === lastPercent) {
      return;
    }
    lastPhase = phase;
    lastPercent = percent;
    show(phase, fraction);
  };
  try {
    return await job({ show: showChange, warn });
  } finally {
    clear();
  }
}

/**
 * Runs a job whose only output is its result, with a bar on a terminal. `report` takes numbers from
 * 0 to 1.
 */
export async function withQuietProgress<T>(
  context: Pick<CommandContext, 'json' | 'print' | 'warn'>,
  phase: string,
  job: (report: (fraction: number) => void) => Promise<T>,
): Promise<T> {
  if (context.json) return job(() => undefined);
  return withProgress(context, ({ show }) => job((fraction) => show(phase, fraction)));
}

/** Writes lines to standard error in place of the bar, which is drawn again below. */
export const noteAbove =
  ({ note }: Pick<CommandContext, 'note'>) =>
  (text: string): void => {
    if (isTerminal()) clearLine();
    note(text);
  };

interface ProgressView extends JobProgress {
  /** Removes what is left on the screen. */
  readonly clear: () => void;
}

function progressView({
  json,
  print,
  warn,
}: Pick<CommandContext, 'json' | 'print' | 'warn'>): ProgressView {
  if (json) {
    return {
      show: (phase, fraction) => print(JSON.stringify({ kind: 'progress', phase, fraction })),
      warn,
      clear: () => undefined,
    };
  }
  if (!isTerminal()) {
    return { show: () => undefined, warn, clear: () => undefined };
  }
  return {
    show: (phase, fraction) => {
      replaceLine(`${progressBar(fraction)} ${phase}`);
    },
    warn: (message) => {
      clearLine();
      warn(message);
    },
    clear: clearLine,
  };
}
