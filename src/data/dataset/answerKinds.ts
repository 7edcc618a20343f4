import type { Objective } from '../../shared/objective';
import { countOf } from '../../shared/values';
import type { Row } from '../rows/row';
import type { ProblemCollector } from './problems';

/** Counts the rows of kto by their labels. */
export class AnswerKinds {
  private desirable = 0;
  private undesirable = 0;
  private firstLine = 1;

  /** Rows of other kinds are ignored. */
  add(row: Row): void {
    if (row.kind !== 'unpaired') return;
    if (this.desirable + this.undesirable === 0) this.firstLine = row.line;
    if (row.desirable) this.desirable++;
    else this.undesirable++;
  }

  /**
   * Reports rows of one kind only, and weights that do not make up for unequal numbers: desirable
   * rows should weigh 1 to 4/3 times what the others do (Ethayarajh et al. 2024, equation 8).
   */
  check(
    problems: ProblemCollector,
    {
      desirable_weight,
      undesirable_weight,
    }: Pick<Extract<Objective, { method: 'kto' }>, 'desirable_weight' | 'undesirable_weight'>,
  ): void {
    const { desirable, undesirable, firstLine } = this;
    if (desirable + undesirable === 0) return;
    if (desirable === 0 || undesirable === 0) {
      problems.sharedError(
        `All rows have the label ${desirable > 0}: kto needs good answers (true) and bad ones (false).`,
        firstLine,
      );
      return;
    }
    const ratio = (desirable * desirable_weight) / (undesirable * undesirable_weight);
    if (desirable === undesirable || (ratio >= 0.995 && ratio <= 1.335)) return;
    const wanted = (undesirable * undesirable_weight) / desirable;
    problems.warn(
      `${countOf(desirable, 'row')} with label true and ${undesirable} with false do not weigh the same: ` +
        `set objective.desirable_weight to between ${wanted.toFixed(2)} and ${(wanted * 1.33).toFixed(2)}, or change undesirable_weight.`,
      firstLine,
    );
  }
}
