import type { LeftOut, PreparedRepository } from '../../shared/preparedRepository';
import { t } from '../text/l10n';

const whyLeftOut = (): Readonly<Record<LeftOut, string>> => ({
  link: t('links'),
  submodule: t('submodules'),
  ignored: t('ignored by .gitignore'),
  other: t('in no chosen language'),
  lock: t('lock files'),
  generated: t('generated'),
  minified: t('minified'),
  binary: t('binary'),
  huge: t('larger than 256 KiB'),
  empty: t('empty'),
  secret: t('with secrets'),
  duplicate: t('copies of others'),
  unreadable: t('missing or not readable'),
  beyond: t('beyond the limits'),
});

/** Places of secrets that a dialog lists. */
const SHOWN_SECRETS = 8;

/** A summary of what was made from a repository, in lines. */
export function summaryOf(prepared: PreparedRepository): string {
  const { files, rows, validation_rows, fim, left_out, secrets } = prepared;
  const names = whyLeftOut();
  const counts = (Object.entries(left_out) as [LeftOut, number][]).sort(([, a], [, b]) => b - a);
  const leftOut = counts.map(([why, count]) => `${names[why]}: ${count}`).join(', ');
  const places = secrets
    .slice(0, SHOWN_SECRETS)
    .map(({ file, line, kind }) => `  ${file}:${line}: ${kind}`);
  return [
    t('Files: {0}, rows: {1}, rows for validation: {2}.', files, rows, validation_rows),
    fim
      ? t('Fill-in-the-middle rows: only the middle of each text is learned.')
      : t('The base has no fill-in-the-middle tokens: whole texts are learned.'),
    ...(leftOut === '' ? [] : [t('Files that are left out: {0}.', leftOut)]),
    ...places,
    ...(secrets.length > places.length ? ['  …'] : []),
  ].join('\n');
}
