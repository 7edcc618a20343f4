import { LoraError } from '../../shared/errors';
import type { RunSummary } from '../runs/run';
import { t } from '../text/l10n';
import { mayUse } from './consent';
import type { TargetStore } from './targetStore';

/**
 * The name of the target of a run, which the user has agreed to. Undefined: the user declined.
 *
 * @throws LoraError('target') when there is no target of this name any more
 */
export async function targetOfRun(
  targets: TargetStore,
  { remote }: RunSummary,
): Promise<string | undefined> {
  const { name } = remote!.record.target;
  const target = await targets.find(name);
  if (target) return (await mayUse(targets, target)) ? name : undefined;
  throw new LoraError('target', t('The target {0} no longer exists.', name), {
    place: { file: targets.userFile },
    fix: t('Add it again with “LoRA: Edit Targets…”. The run continues there.'),
  });
}

/** Whether the target of a run may be used without a question. */
export async function isUsable(targets: TargetStore, { remote }: RunSummary): Promise<boolean> {
  const target = await targets.find(remote!.record.target.name);
  return target !== undefined && !targets.mustAsk(target);
}
