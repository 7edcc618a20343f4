import { Signal } from '../../common/signal';

/**
 * A question that stays open until it is answered: its notification goes away, and then something
 * else must tell what is being waited for, and take the answer.
 */
export class OpenQuestion<A> {
  private readonly changed = new Signal();
  private answered: ((answer: A) => void) | undefined;

  /** Fires when the question is asked or answered. */
  readonly onDidChange = this.changed.event;

  /** Whether an answer is being waited for. */
  get isOpen(): boolean {
    return this.answered !== undefined;
  }

  /**
   * Waits for the answer. `show`: asks in a notification; undefined: it was closed without an
   * answer, and is shown again by `remind`.
   */
  async ask(show: () => Promise<A | undefined>): Promise<A> {
    const answer = new Promise<A>((resolve) => (this.answered = resolve));
    this.remind = async () => {
      const chosen = await show();
      if (chosen !== undefined) this.answer(chosen);
    };
    this.changed.fire();
    void this.remind();
    return answer;
  }

  /** Shows the notification again; VS Code removes the one that may still be in its list. */
  remind: () => Promise<void> = () => Promise.resolve();

  /** Answers the question if it is open; returns whether it was. */
  answer(answer: A): boolean {
    const { answered } = this;
    if (!answered) return false;
    this.answered = undefined;
    answered(answer);
    this.changed.fire();
    return true;
  }
}
