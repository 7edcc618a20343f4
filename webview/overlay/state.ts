import {
  asOverlayPageState,
  type OverlayHostMessage,
  type OverlayPageMessage,
  type OverlayPageState,
  type OverlaySubject,
  type ShownSweep,
} from '../../src/shared/pages/overlay/protocol';
import type { OverlayStringKey } from '../../src/shared/pages/overlay/strings';
import type { Page } from '../shared/page';
import { newRun, runAfter, type OverlayRun } from './model/runs';

export interface OverlayState {
  readonly title: string;
  /** null: the runs are not those of a sweep. */
  readonly sweep: ShownSweep | null;
  /** Number of runs that wait for their turn. */
  readonly waiting: number;
  /** null before the host's first message. */
  readonly runs: readonly OverlayRun[] | null;
  readonly choices: OverlayPageState;
}

export type OverlayPage = Page<OverlayState, OverlayPageMessage, OverlayStringKey>;

export function initialOverlay(kept: unknown, subject: OverlaySubject): OverlayState {
  const stored = asOverlayPageState(kept);
  const isSame = stored && JSON.stringify(stored.subject) === JSON.stringify(subject);
  return {
    title: '',
    sweep: null,
    waiting: 0,
    runs: null,
    choices: isSame ? stored : asOverlayPageState({ subject })!,
  };
}

export function reduceOverlay(state: OverlayState, message: OverlayHostMessage): OverlayState {
  const runs = state.runs ?? [];
  if (message.kind === 'of')
    return {
      ...state,
      runs: runs.map((run) => (run.dir === message.dir ? runAfter(run, message.message) : run)),
    };
  const { title, sweep, waiting } = message;
  const known = new Map(runs.map((run) => [run.dir, run]));
  const named = message.runs.map(({ dir, name }) => ({
    ...(known.get(dir) ?? newRun(dir, name)),
    name,
  }));
  return { ...state, title, sweep, waiting, runs: named };
}

/** Runs whose curves are not hidden. */
export const shownRuns = ({ runs, choices }: OverlayState): readonly OverlayRun[] =>
  (runs ?? []).filter(({ dir }) => !choices.hidden.includes(dir));
