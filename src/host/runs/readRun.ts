import {
  readRun as readFolder,
  type ExistingRunFiles,
  type RunSnapshot,
} from '../../formats/run/readRun';
import { t } from '../text/l10n';

export type { ExistingRunFiles, RemoteRun, RunSnapshot } from '../../formats/run/readRun';

/** Reads a run folder. Never throws: what is wrong becomes the snapshot's problem. */
export const readRun = (
  dir: string,
  now: number,
  existing?: ExistingRunFiles,
): Promise<RunSnapshot> =>
  readFolder(dir, now, existing, {
    unreadable: (fault) => t('run.json cannot be read: {0}', fault),
    missing: () => t('run.json is missing: the run never started.'),
  });
