import type { DraftChecks } from '../model';
import { StepTimes } from './stepTimes';

/** The kernels multiply so many rows at once: more would read the weights again. */
const MOST_DRAFT_ROWS = 8;

/** The checks of a decoder whose steps take several tokens of a sequence. */
export const draftChecks = (): DraftChecks => ({
  rows: MOST_DRAFT_ROWS,
  times: new StepTimes(),
  keep: (sequence) => {
    const { drafted = 0 } = sequence;
    if (drafted === 0) throw new RangeError('The sequence has no drafted token left.');
    sequence.length++;
    sequence.drafted = drafted - 1;
  },
});
