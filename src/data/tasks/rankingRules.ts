import { needsLists, type RerankerLoss } from '../../shared/rerankerSettings';
import type { RankingRow, Weighted } from '../rows/row';

/** Checks that rated documents fit a loss, and that all rows of a dataset have the same form. */
export class RankingRules {
  private isList: boolean | null = null;

  /** @param loss Null: that which fits the rows. */
  constructor(private readonly loss: RerankerLoss | null) {}

  /** @throws RangeError */
  check(row: RankingRow & Weighted): void {
    const { isList, scores, weight } = row;
    const loss = this.loss ?? (isList ? 'ListNetLoss' : 'BinaryCrossEntropyLoss');
    if (needsLists(loss) && !isList)
      throw new RangeError(`${loss} needs "documents" and "scores", lists, in each row.`);
    if (!needsLists(loss) && isList)
      throw new RangeError(
        `${loss} rates one document at a time: give a row for each, or choose ListNetLoss or RankNetLoss.`,
      );
    this.isList ??= isList;
    if (this.isList !== isList)
      throw new RangeError('Either all rows have lists of documents, or none.');
    const outside = scores.find((score) => score < 0 || score > 1);
    if (loss === 'BinaryCrossEntropyLoss' && outside !== undefined)
      throw new RangeError(
        `The score ${outside} is not between 0 and 1: divide the scores, or set reranker.loss to "MSELoss".`,
      );
    if (loss !== 'RankNetLoss') return;
    if (scores.every((score) => score === scores[0]))
      throw new RangeError('All documents have the same score, so RankNetLoss learns no order.');
    if (weight !== undefined)
      throw new RangeError('RankNetLoss compares the rows of a batch, which can have no "weight".');
  }
}
