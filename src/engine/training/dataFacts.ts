import type { PreparedData } from '../../data/dataset/prepare';
import type { RunRecord } from '../../shared/run';

/** What run.json says of a training's data. */
export function dataFactsOf({
  statistics: { train, validation },
  skipped,
  excluded,
  fingerprint,
}: Pick<PreparedData, 'statistics' | 'skipped' | 'excluded' | 'fingerprint'>): NonNullable<
  RunRecord['data']
> {
  return {
    examples: train.examples,
    validation_examples: validation.examples,
    tokens: train.tokens,
    labelled_tokens: train.labelled_tokens,
    skipped_rows: skipped.rows,
    excluded_rows: excluded.reduce((sum, { rows }) => sum + rows, 0),
    fingerprint,
  };
}
