import type { RunHistory } from '../../../src/shared/runHistory';
import type { RunRecord, SourceRecord } from '../../../src/shared/run';

/** A source of the training set, with its part of the first and of the last evaluation. */
export interface SourceFacts extends SourceRecord {
  /** Null: its rows are not evaluated alone, or have not been yet. */
  readonly first: number | null;
  readonly last: number | null;
}

/** The sources that a run trains on; none before its rows are read. */
export function sourcesOf(run: RunRecord | null, history: RunHistory): readonly SourceFacts[] {
  const evaluations = history.lines.flatMap((line) =>
    line.kind === 'eval' ? [line.sources ?? []] : [],
  );
  const lossOf = (name: string, at: number) => {
    const loss = evaluations.at(at)?.find((own) => own.name === name)?.loss;
    return loss === undefined || Number.isNaN(loss) ? null : loss;
  };
  return (run?.data?.sources ?? []).map((source) => ({
    ...source,
    first: lossOf(source.name, 0),
    last: lossOf(source.name, -1),
  }));
}
