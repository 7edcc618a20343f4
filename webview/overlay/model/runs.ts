import { RunHistory } from '../../../src/shared/runHistory';
import type { RunRecord, RunState } from '../../../src/shared/run';
import type { HostMessage } from '../../../src/shared/pages/dashboard/protocol';
import { RunLines } from '../../shared/charts/runLines';
import { Running } from '../../shared/charts/running';

/** One run on the page. `history` grows in place. */
export interface OverlayRun {
  readonly dir: string;
  readonly name: string;
  readonly record: RunRecord | null;
  readonly state: RunState;
  readonly history: RunHistory;
  readonly lines: RunLines;
  /** Sum of tokens and peak of memory; NaN without steps. */
  readonly tokens: Running;
  readonly memory: Running;
}

export function newRun(dir: string, name: string): OverlayRun {
  const history = new RunHistory();
  return {
    dir,
    name,
    record: null,
    state: 'preparing',
    history,
    lines: new RunLines(history),
    tokens: new Running('tokens', 0, (sum, next) => sum + next),
    memory: new Running('memory', NaN, (peak, next) => (next <= peak ? peak : next)),
  };
}

/** The run after a message about it. */
export function runAfter(run: OverlayRun, message: HostMessage): OverlayRun {
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
    case 'labels':
    case 'log':
    case 'answered':
    case 'wait':
      return run;
  }
}
