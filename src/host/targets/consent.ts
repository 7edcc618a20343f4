import { confirm } from '../ui/messages';
import { t } from '../text/l10n';
import { consentDetail } from './consentDetail';
import type { KnownTarget } from './mergeTargets';
import type { TargetStore } from './targetStore';

/** Asks whether a target that the workspace brings may be used, once. False: no. */
export async function mayUse(store: TargetStore, target: KnownTarget): Promise<boolean> {
  if (!store.mustAsk(target)) return true;
  const question = t('This workspace describes the target {0}. Use it?', target.entry.name);
  if (!(await confirm(question, consentDetail(target), t('Use This Target')))) return false;
  await store.agree(target);
  return true;
}
