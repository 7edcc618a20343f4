import type { ToolCall } from '../../../data/chat/calls/form';
import { GrowingText } from '../../../data/tokenizer/growingText';
import { withoutStart, type AnswerReader, type AnswerView } from './answerReaders';

/** What is new in an answer. */
export interface AnswerDelta {
  readonly content: string;
  readonly reasoning: string;
}

/** A finished answer. */
export interface FinishedAnswer extends AnswerDelta {
  readonly calls: readonly ToolCall[];
  readonly rest: AnswerDelta;
}

/** An answer while it grows: what is new in it, up to one of the texts that end it. */
export class AnswerStream {
  private readonly ids: number[] = [];
  private sent: AnswerDelta = { content: '', reasoning: '' };
  private stopped = false;
  private readonly text: GrowingText;

  constructor(
    private readonly read: AnswerReader,
    private readonly stops: readonly string[],
  ) {
    this.text = new GrowingText(read.decode);
  }

  /** Number of tokens. */
  get tokens(): number {
    return this.ids.length;
  }

  /** Whether one of the texts that end it was written. */
  get isStopped(): boolean {
    return this.stopped;
  }

  /** What one more token adds. */
  push(id: number): AnswerDelta {
    this.ids.push(id);
    const { content, reasoning } = this.upToStop(this.read.view(this.text.of(this.ids), false));
    const safe = this.stopped ? content : withoutStart(content, this.stops);
    return this.addedBy({ content: safe, reasoning });
  }

  /** The whole answer, and what of it is not yet sent. */
  finish(): FinishedAnswer {
    const view = this.upToStop(this.read.view(this.read.decode(this.ids), true));
    const rest = this.addedBy(view);
    return { ...view, calls: this.stopped ? [] : view.calls, rest };
  }

  private upToStop(view: AnswerView): AnswerView {
    const places = this.stops.map((stop) => view.content.indexOf(stop)).filter((at) => at >= 0);
    if (places.length === 0) return view;
    this.stopped = true;
    return { ...view, content: view.content.slice(0, Math.min(...places)) };
  }

  private addedBy({ content, reasoning }: AnswerDelta): AnswerDelta {
    const added = {
      content: addedTo(this.sent.content, content),
      reasoning: addedTo(this.sent.reasoning, reasoning),
    };
    this.sent = {
      content: this.sent.content + added.content,
      reasoning: this.sent.reasoning + added.reasoning,
    };
    return added;
  }
}

/** Nothing where the text is no continuation, or is not longer. */
const addedTo = (sent: string, text: string): string =>
  text.startsWith(sent) ? text.slice(sent.length) : '';
