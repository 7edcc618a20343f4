import { t } from '../text/l10n';
import { browse } from '../ui/inputs';

/** Asks for a file with rows, or a folder of such files. Undefined: cancelled. */
export const browseDataset = (what: 'file' | 'folder'): Promise<string | undefined> =>
  browse(
    what,
    t('Dataset'),
    what === 'file'
      ? {
          [t('Files with Rows')]: ['jsonl', 'json', 'csv', 'tsv', 'parquet', 'gz', 'zst'],
          [t('All Files')]: ['*'],
        }
      : undefined,
  );
