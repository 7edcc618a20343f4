import type { TargetEntry } from '../../targets/targetSchema';
import { t } from '../text/l10n';
import { placeOf, type KnownTarget } from './mergeTargets';
import { kindName } from './remoteText';

/** What the question about a target of the workspace says: all that its entry can do. */
export function consentDetail({ entry, origin }: KnownTarget): string {
  const lines = [
    t('Kind: {0}', kindName(entry.kind)),
    entry.kind === 'ray' ? t('Address: {0}', placeOf(entry)) : t('Host: {0}', placeOf(entry)),
    ...storageLines(entry),
    ...(entry.env.length > 0
      ? [t('Environment variables that it gets: {0}', entry.env.join(', '))]
      : []),
    ...(origin.kind === 'workspace' ? [t('Described in: {0}', origin.file)] : []),
    '',
    t(
      'The base model, the data and the engine of a run are sent there. You are asked again when the entry changes.',
    ),
  ];
  return lines.join('\n');
}

/** Requests to a bucket are signed with the key of the user. */
function storageLines(entry: TargetEntry): string[] {
  if (entry.kind !== 'ray' || entry.storage === null) return [];
  const { storage, endpoint } = entry;
  return [t('Storage: {0}', endpoint === null ? storage : `${storage} (${endpoint})`)];
}
