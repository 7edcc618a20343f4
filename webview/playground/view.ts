import type {
  PlaygroundPageMessage,
  PlaygroundPageState,
  PlaygroundState,
} from '../../src/shared/pages/playground/protocol';
import type { PlaygroundStringKey } from '../../src/shared/pages/playground/strings';
import type { Formatter } from '../shared/format';
import type { Column } from './model/columns';

export interface View {
  readonly state: PlaygroundState;
  readonly columns: readonly Column[];
  readonly kept: PlaygroundPageState;
}

/** A part of the page; `update` changes only what differs. */
export interface Part {
  readonly root: HTMLElement;
  update(view: View): void;
}

/** What every part needs. */
export interface Context {
  readonly format: Formatter;
  readonly t: (key: PlaygroundStringKey, ...values: readonly (string | number)[]) => string;
  readonly post: (message: PlaygroundPageMessage) => void;
  /** The choices as they are now: what is drawn may be a frame behind. */
  readonly kept: () => PlaygroundPageState;
  readonly keep: (change: Partial<PlaygroundPageState>) => void;
  /** Puts the prompt to all columns, or to one. */
  readonly ask: (only?: number | null) => void;
  readonly stop: () => void;
}

export const scaleOf = ({ kept }: View, adapter: number): number => kept.scales[adapter] ?? 1;
