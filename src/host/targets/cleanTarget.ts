import type { Services } from '../services';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { confirm, notify } from '../ui/messages';
import { withStatus } from '../ui/progress';
import { pickWhere } from './pickTarget';
import type { Unused } from './targetJobs';

/**
 * Removes from a target what no run there uses, after a question.
 *
 * @throws LoraError('target') when the target cannot be reached
 */
export async function cleanTarget(
  services: Pick<Services, 'targets' | 'targetJobs' | 'errors'>,
): Promise<void> {
  const { targetJobs } = services;
  const where = await pickWhere(services, {
    title: t('Clean Target'),
    placeholder: t('Select a target to remove unused files from'),
    withHere: false,
  });
  if (where?.kind !== 'target') return;
  const { name } = where.target.entry;
  const unused = await withStatus(t('Connecting to {0}…', name), () => targetJobs.unused(name));
  if (unused.length === 0) {
    await notify('information', t('All files on {0} are new or used by a run there.', name));
    return;
  }
  const question = t('Remove {0} {0|item|items} from {1}?', formatNumber(unused.length), name);
  if (!(await confirm(question, cleanDetail(unused), t('Remove')))) return;
  const removed = new Set(
    await withStatus(t('Removing from {0}…', name), () => targetJobs.clean(name)),
  );
  const gone = unused.filter(({ id }) => removed.has(id));
  await notify(
    'information',
    t(
      'Removed {0} {0|item|items} ({1}) from {2}.',
      formatNumber(gone.length),
      formatBytes(sizeOf(gone)),
      name,
    ),
  );
}

/** What the question says besides. */
export const cleanDetail = (unused: readonly Unused[]): string =>
  [
    t(
      '{0} of engines, base models and data that no run on the target uses and that were last used more than a day ago.',
      formatBytes(sizeOf(unused)),
    ),
    t('Runs are kept: delete them one by one. Files that are needed again are sent again.'),
  ].join('\n');

const sizeOf = (items: readonly Unused[]): number =>
  items.reduce((sum, { bytes }) => sum + bytes, 0);
