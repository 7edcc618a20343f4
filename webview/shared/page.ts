import type { Formatter } from './format';

/** What the parts of a page work with. */
export interface Page<State, Message, Key extends string> {
  readonly format: Formatter;
  /** A text of the page in the user's language; `values` replace {0}, {1}… */
  readonly t: (key: Key, ...values: readonly (string | number)[]) => string;
  readonly post: (message: Message) => void;
  /** The current state; what is on screen may be one frame behind. */
  readonly state: State;
  /** Changes the state and draws the page in the next frame. */
  readonly change: (change: Partial<State>) => void;
}

interface WithChoices<Choices> {
  readonly state: { readonly choices: Choices };
  readonly change: (change: { readonly choices: Choices }) => void;
}

/** Shows a choice of the user; VS Code keeps `choices` through reloads. */
export function choose<Choices>(
  { state, change }: WithChoices<Choices>,
  choice: Partial<NoInfer<Choices>>,
): void {
  change({ choices: { ...state.choices, ...choice } });
}
