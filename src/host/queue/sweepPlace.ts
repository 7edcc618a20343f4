import type { Services } from '../services';
import { pickWhere } from '../targets/pickTarget';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';
import type { QueuedOn } from './runQueue';

const FIRST_PARALLEL = '2';
const MAX_PARALLEL = 64;

/**
 * Asks where the runs of a sweep are trained, and how many at a time on a target. Without targets
 * nothing is asked. Undefined: cancelled.
 */
export async function askWhereToSweep(
  services: Pick<Services, 'targets' | 'targetJobs' | 'errors'>,
): Promise<{ readonly on?: QueuedOn } | undefined> {
  const { targets } = await services.targets.list();
  if (targets.length === 0) return {};
  const where = await pickWhere(services, {
    title: t('Sweep On'),
    placeholder: t('Where should the runs train?'),
    withHere: true,
  });
  if (!where) return undefined;
  if (where.kind === 'here') return {};
  const target = where.target.entry.name;
  const text = await askText({
    title: t('Sweep on {0}', target),
    value: FIRST_PARALLEL,
    prompt: t('How many runs may train there at a time.'),
    validate: (value) =>
      parallelOf(value) === undefined
        ? t('Enter a whole number from 1 to {0}.', MAX_PARALLEL)
        : undefined,
  });
  const parallel = text === undefined ? undefined : parallelOf(text);
  return parallel === undefined ? undefined : { on: { target, parallel } };
}

function parallelOf(text: string): number | undefined {
  const number = Number(text.trim() || NaN);
  return Number.isInteger(number) && number >= 1 && number <= MAX_PARALLEL ? number : undefined;
}
