import type { RowsAnswer, RowsAsked } from '../../inspect/dataset/questions';
import type { DataHostMessage } from '../../shared/pages/data/protocol';
import type { DataClient } from './dataClient';

type Wanted = Pick<RowsAsked, 'view' | 'from' | 'count'>;

/** Rows that are answered at once. */
const MOST_ROWS = 100;

/** What answering takes. */
interface RowAnswersParts {
  readonly client: DataClient;
  readonly send: (message: DataHostMessage) => void;
  /** Whether there is a model whose tokens are counted. */
  readonly hasTokens: () => boolean;
  readonly fail: (error: unknown) => void;
}

/** Answers the page's newest request for rows; older ones are of rows that nobody sees any more. */
export class RowAnswers {
  private wanted: Wanted | null = null;
  private isAnswering = false;
  private end: () => void = () => undefined;

  constructor(private readonly parts: RowAnswersParts) {}

  /** Resolves when rows have been shown, or `sayNone` says that there are none. */
  untilShown(): Promise<void> {
    return new Promise((resolve) => {
      this.end = resolve;
    });
  }

  sayNone(): void {
    this.end();
  }

  ask({ view, from, count }: Wanted): void {
    this.wanted = { view, from, count: Math.min(count, MOST_ROWS) };
    if (!this.isAnswering) void this.answer();
  }

  private async answer(): Promise<void> {
    this.isAnswering = true;
    try {
      while (this.wanted) {
        const { wanted } = this;
        this.wanted = null;
        this.show(await this.parts.client.ask('dataRows', { ...wanted, measure: false }));
        if (this.parts.hasTokens()) await this.measure(wanted);
      }
    } catch (error) {
      this.parts.fail(error);
    } finally {
      this.isAnswering = false;
    }
  }

  /** The same rows with their tokens, as long as nothing else is asked for. */
  private async measure(wanted: Wanted): Promise<void> {
    for (let before = Infinity; !this.wanted;) {
      const answer = await this.parts.client.ask('dataRows', { ...wanted, measure: true });
      this.show(answer);
      const left = answer.rows.filter(({ tokens, fault }) => tokens === null && fault === null);
      // rows that no template accepts have none, and rows that are not read yet have them later
      if (left.length === 0 || left.length >= before) return;
      before = left.length;
    }
  }

  private show(answer: RowsAnswer): void {
    this.parts.send({ kind: 'rows', ...answer, rows: [...answer.rows] });
    this.end();
  }
}
