import type { Disposable } from '../../common/signal';

/** The next part of an answer. */
export interface AnswerText {
  readonly kind: 'text';
  readonly id: string;
  readonly text: string;
}

/** Parts that arrive within this time are sent together. */
const GATHER_MS = 30;

/**
 * Gathers the parts of answers, of which several models may give hundreds a second. What arrives
 * while the window does not have the last ones yet goes together afterwards.
 */
export class AnswerTexts implements Disposable {
  private readonly texts = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  /** Resolves when the window has what was sent last. */
  private delivered: Promise<unknown> = Promise.resolve();
  private disposed = false;

  constructor(private readonly send: (text: AnswerText) => Promise<unknown>) {}

  /** Sends a part soon. */
  add({ id, text }: AnswerText): void {
    this.texts.set(id, (this.texts.get(id) ?? '') + text);
    this.timer ??= setTimeout(() => void this.delivered.then(() => this.flush()), GATHER_MS);
  }

  /** Sends all parts now, before what ends an answer. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const texts = [...this.texts];
    this.texts.clear();
    if (this.disposed) return;
    for (const [id, text] of texts)
      this.delivered = this.send({ kind: 'text', id, text }).catch(() => undefined);
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
  }
}
