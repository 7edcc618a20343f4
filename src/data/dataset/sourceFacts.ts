import type { CheckedDataset } from '../../shared/checkedRecipe';
import { sourceName } from '../../shared/datasetSources';
import type { SourceRecord } from '../../shared/run';
import { drawnCount } from '../examples/epochMix';
import { sourcesIn, type ReadData } from './prepare';

/** What the files of each source have together; empty where a file's tokens are not known. */
export function sourceFacts(
  read: ReadData,
  checked: readonly CheckedDataset[],
): readonly SourceRecord[] {
  const own = sourcesIn(read)
    .filter(({ set }) => set === 'train')
    .map(({ source, from, to }) => {
      const files = checked.slice(from, to).map(({ statistics }) => statistics);
      const sum = (key: 'examples' | 'tokens' | 'labelled_tokens') =>
        files.reduce((total, statistics) => total + (statistics?.[key] ?? 0), 0);
      const examples = sum('examples');
      return {
        name: sourceName(source),
        weight: source.weight,
        examples,
        tokens: sum('tokens'),
        labelled_tokens: sum('labelled_tokens'),
        drawn: drawnCount(examples, source.weight),
        isKnown: !files.includes(null),
      };
    });
  if (own.some(({ isKnown }) => !isKnown)) return [];
  const total = own.reduce((sum, { drawn }) => sum + drawn, 0);
  return own.map(({ name, weight, examples, tokens, labelled_tokens, drawn }) => ({
    ...{ name, weight, examples, tokens, labelled_tokens, drawn },
    share: total === 0 ? 0 : drawn / total,
  }));
}
