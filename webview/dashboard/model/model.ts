import { RunHistory } from '../../../src/shared/runHistory';
import type { EngineProgress, EngineStatus } from '../../../src/shared/engineProtocol';
import { ENDED_STATES, type RunRecord } from '../../../src/shared/run';
import type {
  HostMessage,
  LogMessage,
  PageState,
  RunLink,
  RunRequest,
} from '../../../src/shared/pages/dashboard/protocol';

/** What the page shows. `history` grows in place; everything else is replaced. */
export interface Model {
  /** False until the first snapshot. */
  readonly loaded: boolean;
  readonly run: RunRecord | null;
  readonly status: EngineStatus;
  readonly progress: EngineProgress | null;
  readonly link: RunLink;
  readonly history: RunHistory;
  readonly log: readonly LogMessage[];
  /** Asked of the engine and not yet answered. */
  readonly pending: RunRequest | null;
  readonly choices: PageState;
}

const LOG_KEPT = 200;

export function initialModel(choices: PageState): Model {
  return {
    loaded: false,
    run: null,
    progress: null,
    link: 'folder',
    log: [],
    pending: null,
    choices,
    status: { state: 'preparing', step: 0, total_steps: null, seconds_left: null, error: null },
    history: new RunHistory(),
  };
}

export function reduce(model: Model, message: HostMessage): Model {
  switch (message.kind) {
    case 'snapshot': {
      const { run, status, progress, link } = message;
      // The log comes after each snapshot, whole.
      return {
        ...model,
        loaded: true,
        log: [],
        run,
        status,
        progress,
        link,
        history: new RunHistory(message.steps, message.lines),
      };
    }
    case 'append':
      for (const line of message.lines) model.history.append(line);
      return model;
    case 'status':
      return { ...model, status: message.status, link: message.link };
    case 'progress':
      return { ...model, progress: message.progress };
    case 'run':
      return { ...model, run: message.run };
    case 'log':
      return { ...model, log: [...model.log, message].slice(-LOG_KEPT) };
    case 'answered':
      return { ...model, pending: model.pending === message.request ? null : model.pending };
  }
}

export const hasEnded = (model: Model): boolean => ENDED_STATES.has(model.status.state);

export const totalSteps = (model: Model): number | null =>
  model.status.total_steps ?? model.run?.total_steps ?? null;

/** The status may come before the last lines, or the lines before the status. */
export const stepNow = (model: Model): number =>
  Math.max(model.status.step, model.history.lastStep);
