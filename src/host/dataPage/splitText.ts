import path from 'node:path';
import type { DataResult } from '../../inspect/dataset/questions';
import { t } from '../text/l10n';

/** Says what a split has written. */
export function splitText({
  train,
  validation,
  trainRows,
  validationRows,
  excluded,
}: Extract<DataResult, { kind: 'split' }>): string {
  const written = t(
    'Written: {0} with {1} {1|row|rows}, {2} with {3} {3|row|rows}.',
    path.basename(train),
    trainRows,
    path.basename(validation),
    validationRows,
  );
  const left = t('{0} excluded {0|row is|rows are} in neither.', excluded);
  return excluded > 0 ? `${written} ${left}` : written;
}
