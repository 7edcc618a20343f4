import type { OverlayPageMessage, OverlayPageState } from '../../src/shared/pages/overlay/protocol';
import type { OverlayStringKey } from '../../src/shared/pages/overlay/strings';
import type { Formatter } from '../shared/format';
import type { ShownRun } from './model/runs';

/** What is shown, and what of it the user has chosen. */
export interface View {
  readonly title: string;
  readonly sweep: boolean;
  /** Runs that wait for their turn. */
  readonly waiting: number;
  readonly runs: readonly ShownRun[];
  readonly choices: OverlayPageState;
}

/** A part of the page; `update` changes only what differs. */
export interface Part {
  readonly root: HTMLElement;
  update(view: View): void;
}

/** What every part needs. */
export interface Context {
  readonly format: Formatter;
  readonly t: (key: OverlayStringKey, ...values: readonly (string | number)[]) => string;
  readonly post: (message: OverlayPageMessage) => void;
  /** The choices as they are now: what is drawn may be a frame behind. */
  readonly chosen: () => OverlayPageState;
  readonly choose: (change: Partial<Omit<OverlayPageState, 'subject'>>) => void;
}

export const shownRuns = ({ runs, choices }: View): readonly ShownRun[] =>
  runs.filter(({ dir }) => !choices.hidden.includes(dir));
