import { downloadBaseCommand } from '../hub/downloadBase';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { pickBase } from './baseStep';

export type ChooseBaseServices = Pick<Services, 'context' | 'errors' | 'inspections' | 'jobs'>;

/** Asks for a base model; returns its path. Undefined: cancelled. */
export async function chooseBasePath({
  context,
  errors,
  inspections,
  jobs,
}: ChooseBaseServices): Promise<string | undefined> {
  const { secrets } = context;
  const download = (name?: string) => downloadBaseCommand({ jobs, secrets }, name);
  const picked = await pickBase(
    { errors, inspections, lastUsed: undefined, download },
    { title: t('Choose Base Model'), first: true },
  );
  return picked.kind === 'picked' ? picked.value.path : undefined;
}
