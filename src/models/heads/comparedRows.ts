import { NO_LABEL } from '../../shared/task';
import type { LabelledInput } from '../model';
import type { ComparisonLoss, SequenceScores } from './comparisonLoss';

/** The positions whose next token counts in a comparison, and how. */
export class ComparedRows {
  /** Positions in the batch. */
  readonly rows: Int32Array;
  /** The token after each of them. */
  readonly labels: Int32Array;
  /** The sequence of each. */
  private readonly sequences: Int32Array;
  /** Whether the token belongs to an answer, and to what is learned by cross-entropy. */
  private readonly isAnswer: Uint8Array;
  private readonly isLearnt: Uint8Array;

  /**
   * @param learnt Which tokens of the first half of the rows are learned by cross-entropy.
   * @param images Positions with the vectors of images, which are never learned.
   */
  constructor(
    private readonly input: LabelledInput,
    learnt: 'none' | 'answers' | 'all',
    images: ReadonlySet<number> = new Set(),
  ) {
    const { batch, length, labels, input_ids, attention_mask } = input;
    const rows: number[] = [];
    const answer: number[] = [];
    const learntToo: number[] = [];
    for (let row = 0; row < batch * length; row++) {
      if ((row + 1) % length === 0) continue;
      const isAnswer = labels[row + 1] !== NO_LABEL;
      const isChosen = 2 * row < batch * length;
      const isRead = attention_mask[row] === 1 && attention_mask[row + 1] === 1;
      const isWritten = isRead && !images.has(row + 1);
      const isLearnt =
        isChosen && ((learnt === 'all' && isWritten) || (learnt === 'answers' && isAnswer));
      if (!isAnswer && !isLearnt) continue;
      rows.push(row);
      answer.push(isAnswer ? 1 : 0);
      learntToo.push(isLearnt ? 1 : 0);
    }
    this.rows = Int32Array.from(rows);
    this.labels = this.rows.map((row) => input_ids[row + 1]!);
    this.sequences = this.rows.map((row) => Math.floor(row / length));
    this.isAnswer = Uint8Array.from(answer);
    this.isLearnt = Uint8Array.from(learntToo);
  }

  /** `losses`: the cross-entropy of each row. */
  scores(losses: Float64Array): SequenceScores {
    const sums = new Float64Array(this.input.batch);
    const counts = new Int32Array(this.input.batch);
    const nll = { sum: 0, count: 0 };
    losses.forEach((loss, i) => {
      const sequence = this.sequences[i]!;
      if (this.isAnswer[i] === 1) {
        sums[sequence]! -= loss;
        counts[sequence]!++;
      }
      if (this.isLearnt[i] === 1) {
        nll.sum += loss;
        nll.count++;
      }
    });
    return { sums, counts, nll };
  }

  /** The derivative of the sum of losses by the cross-entropy of each row. */
  weights({ slopes, nll_slope }: Pick<ComparisonLoss, 'slopes' | 'nll_slope'>): Float32Array {
    return Float32Array.from(
      this.rows,
      (_, i) =>
        (this.isAnswer[i] === 1 ? -slopes[this.sequences[i]!]! : 0) +
        (this.isLearnt[i] === 1 ? nll_slope : 0),
    );
  }
}
