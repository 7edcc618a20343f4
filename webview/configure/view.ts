import type {
  AdviceLine,
  ConfigurePageMessage,
  Figures,
  ModuleChoice,
  RankSettings,
} from '../../src/shared/pages/configure/protocol';
import type { ConfigureStringKey } from '../../src/shared/pages/configure/strings';
import type { Formatter } from '../shared/format';
import type { GroupBy } from './model/groups';

/** What is shown: the recipe's choice, or the one that the user is about to make. */
export interface View {
  readonly file: string;
  readonly base: string;
  readonly modules: readonly ModuleChoice[];
  readonly settings: RankSettings;
  /** Indices into `modules`. */
  readonly chosen: ReadonlySet<number>;
  readonly figures: Figures;
  readonly advice: readonly AdviceLine[];
  readonly by: GroupBy;
  /** Names of unfolded groups. */
  readonly open: ReadonlySet<string>;
  /** lora_alpha goes with r. */
  readonly follow: boolean;
}

/** `done`: false while a slider is still held. */
export type Choose = (choice: Partial<Pick<View, 'settings' | 'chosen'>>, done: boolean) => void;

/** A part of the page; `update` changes only what differs. */
export interface Part {
  readonly root: HTMLElement;
  update(view: View): void;
}

/** What every part needs. */
export interface Context {
  readonly format: Formatter;
  readonly t: (key: ConfigureStringKey, ...values: readonly (string | number)[]) => string;
  /** The choices as they are now: what is drawn may be a frame behind. */
  readonly now: () => View;
  readonly choose: Choose;
  readonly arrange: (change: Partial<Pick<View, 'by' | 'open' | 'follow'>>) => void;
  readonly post: (message: ConfigurePageMessage) => void;
}
