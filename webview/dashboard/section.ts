import type { StringKey } from '../../src/shared/pages/dashboard/strings';
import type { PageMessage, PageState } from '../../src/shared/pages/dashboard/protocol';
import type { Formatter } from '../shared/format';
import type { Model } from './model/model';

/**
 * A part of the page. `update` is called once a frame when something came in, and changes only what
 * differs.
 */
export interface Section {
  readonly root: HTMLElement;
  update(model: Model): void;
}

/** What every part of the page needs. */
export interface Context {
  readonly format: Formatter;
  /** A text of the page in the user's language. */
  readonly t: (key: StringKey, ...values: readonly (string | number)[]) => string;
  readonly post: (message: PageMessage) => void;
  /** The choices as they are now: what is drawn may be a frame behind. */
  readonly chosen: () => PageState;
  /** Keeps a choice of the user through reloads and shows it. */
  readonly choose: (change: Partial<Omit<PageState, 'runDir'>>) => void;
}
