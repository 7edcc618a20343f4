import type { PreparedData, PreparedSource } from '../../data/dataset/prepare';
import type { RunRecord, SourceRecord } from '../../shared/run';

/** What run.json says of a training run's data. */
export function dataFactsOf({
  statistics: { train, validation },
  sources,
  skipped,
  excluded,
  fingerprint,
}: Pick<
  PreparedData,
  'statistics' | 'sources' | 'skipped' | 'excluded' | 'fingerprint'
>): NonNullable<RunRecord['data']> {
  return {
    examples: train.examples,
    validation_examples: validation.examples,
    tokens: train.tokens,
    labelled_tokens: train.labelled_tokens,
    skipped_rows: skipped.rows,
    excluded_rows: excluded.reduce((sum, { rows }) => sum + rows, 0),
    sources: sources.map(sourceRecord),
    fingerprint,
  };
}

/** What run.json and reports say of a source. */
export const sourceRecord = ({
  name,
  revision,
  weight,
  statistics: { examples, tokens, labelled_tokens },
  drawn,
  share,
}: PreparedSource): SourceRecord => ({
  name,
  ...(revision !== null && { revision }),
  weight,
  examples,
  tokens,
  labelled_tokens,
  drawn,
  share,
});
