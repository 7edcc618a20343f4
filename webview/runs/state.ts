import {
  asRunsPageState,
  type RunsHostMessage,
  type RunsPageMessage,
  type RunsPageState,
  type TableRow,
} from '../../src/shared/pages/runs/protocol';
import type { RunsStringKey } from '../../src/shared/pages/runs/strings';
import type { Page } from '../shared/page';

export interface RunsState {
  /** null before the host's first message. */
  readonly rows: readonly TableRow[] | null;
  /** Folders of the runs whose boxes are checked. */
  readonly selected: readonly string[];
  readonly choices: RunsPageState;
}

export type RunsPage = Page<RunsState, RunsPageMessage, RunsStringKey>;

export const initialRuns = (kept: unknown): RunsState => ({
  rows: null,
  selected: [],
  choices: asRunsPageState(kept) ?? asRunsPageState({})!,
});

/** Runs that are gone are no longer selected. */
export const reduceRuns = (state: RunsState, { rows }: RunsHostMessage): RunsState => ({
  ...state,
  rows,
  selected: state.selected.filter((dir) => rows.some((row) => row.dir === dir)),
});
