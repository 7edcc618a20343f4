import type { EngineProgress, EngineStatus } from '../../src/shared/engineProtocol';
import type {
  HostMessage,
  LabelsMessage,
  LogMessage,
  PageMessage,
  PageState,
  RunLink,
  RunRequest,
  RuntimeWait,
} from '../../src/shared/pages/dashboard/protocol';
import type { StringKey } from '../../src/shared/pages/dashboard/strings';
import { ENDED_STATES, type RunRecord } from '../../src/shared/run';
import { RunHistory } from '../../src/shared/runHistory';
import type { Page } from '../shared/page';

/** What the page shows. `history` grows in place; everything else is replaced. */
export interface DashboardState {
  /** False until the first snapshot. */
  readonly loaded: boolean;
  readonly run: RunRecord | null;
  readonly status: EngineStatus;
  readonly progress: EngineProgress | null;
  readonly link: RunLink;
  readonly history: RunHistory;
  readonly log: readonly LogMessage[];
  readonly labels: Omit<LabelsMessage, 'kind'>;
  /** What the run waits for before it starts; null: nothing. */
  readonly wait: RuntimeWait | null;
  /** A request to the engine that is not answered yet. */
  readonly pending: RunRequest | null;
  readonly choices: PageState;
}

export type DashboardPage = Page<DashboardState, PageMessage, StringKey>;

const LOG_KEPT = 200;

export function initialDashboard(choices: PageState): DashboardState {
  return {
    loaded: false,
    run: null,
    progress: null,
    link: 'folder',
    log: [],
    labels: {
      name: null,
      previous: null,
      changed_files: null,
      commit_page: false,
      command: '',
      remote: null,
    },
    wait: null,
    pending: null,
    choices,
    status: { state: 'preparing', step: 0, total_steps: null, seconds_left: null, error: null },
    history: new RunHistory(),
  };
}

export function reduceDashboard(state: DashboardState, message: HostMessage): DashboardState {
  switch (message.kind) {
    case 'snapshot': {
      const { run, status, progress, link, outline, steps, lines } = message;
      const history = new RunHistory(steps, lines, outline);
      // The whole log follows each snapshot.
      const shown = { loaded: true, log: [], run, status, progress, link, history };
      return { ...ofRun(state, message.run_dir), ...shown };
    }
    case 'append':
      for (const line of message.lines) state.history.append(line);
      return state;
    case 'status':
      return { ...state, status: message.status, link: message.link };
    case 'progress':
      return { ...state, progress: message.progress };
    case 'run':
      return { ...state, run: message.run };
    case 'log':
      return { ...state, log: [...state.log, message].slice(-LOG_KEPT) };
    case 'labels':
      return { ...state, labels: message };
    case 'wait':
      return { ...state, wait: message.for };
    case 'answered':
      return { ...state, pending: state.pending === message.request ? null : state.pending };
  }
}

/** What a page that shows another run keeps: how runs are looked at. */
function ofRun(state: DashboardState, runDir: string): DashboardState {
  const { choices } = state;
  return runDir === choices.runDir ? state : initialDashboard({ ...choices, runDir, zoom: null });
}

export const hasEnded = ({ status }: DashboardState): boolean => ENDED_STATES.has(status.state);

/** Whether the run continues on a target that is not connected. */
export const isAway = (state: DashboardState): boolean =>
  typeof state.labels.remote?.away === 'string' && !hasEnded(state);

/** A run that ended before its first number has nothing to show. */
export const isEmptyEnd = (state: DashboardState): boolean =>
  hasEnded(state) &&
  state.history.length === 0 &&
  !state.history.lines.some(({ kind }) => kind === 'eval' || kind === 'sample');

export const totalSteps = ({ status, run }: DashboardState): number | null =>
  status.total_steps ?? run?.total_steps ?? null;

/** The status may come before the last lines, or the lines before the status. */
export const currentStep = ({ status, history }: DashboardState): number =>
  Math.max(status.step, history.lastStep);

/** Values that differ whenever lines were added to a history or taken back. */
export const historyKey = (history: RunHistory): readonly unknown[] => [
  history,
  history.revision,
  history.length,
  history.lines.length,
];
