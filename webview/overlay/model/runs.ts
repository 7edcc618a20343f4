import { RunHistory } from '../../../src/shared/runHistory';
import type { RunRecord, RunState } from '../../../src/shared/run';
import type { HostMessage } from '../../../src/shared/pages/dashboard/protocol';
import { RunLines } from '../../shared/charts/runLines';

/** One run on the page. `history` grows in place. */
export interface ShownRun {
  readonly dir: string;
  readonly name: string;
  readonly record: RunRecord | null;
  readonly state: RunState;
  readonly history: RunHistory;
  readonly lines: RunLines;
}

export function newRun(dir: string, name: string): ShownRun {
  const history = new RunHistory();
  return { dir, name, record: null, state: 'preparing', history, lines: new RunLines(history) };
}

/** The run after what its host said of it. */
export function afterMessage(run: ShownRun, message: HostMessage): ShownRun {
  switch (message.kind) {
    case 'snapshot':
      return {
        ...run,
        record: message.run,
        state: message.status.state,
        history: new RunHistory(message.steps, message.lines),
      };
    case 'append':
      for (const line of message.lines) run.history.append(line);
      return run;
    case 'status':
      return { ...run, state: message.status.state };
    case 'run':
      return { ...run, record: message.run };
    case 'progress':
    case 'log':
    case 'answered':
      return run;
  }
}
