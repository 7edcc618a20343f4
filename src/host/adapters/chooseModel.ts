import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import { t } from '../text/l10n';
import { browse, pickRow } from '../ui/inputs';

/**
 * The base model of an adapter, if it is on this disk; else one that the user browses for.
 * Undefined: cancelled.
 */
export async function chooseBaseOf(adapter: string): Promise<string | undefined> {
  const named = await namedBase(adapter);
  const found = await baseOnDisk(adapter, named);
  if (found !== null) return found;
  return browseModel(
    named === null
      ? t('Select the base model of the adapter')
      : t('Select the base model, {0}', named),
    t('Base Model'),
  );
}

/** PEFT and mlx-lm name the base by different keys; other formats mostly don't name it. */
async function namedBase(adapter: string): Promise<string | null> {
  const config = await readTextFile(path.join(adapter, 'adapter_config.json'), {
    maxBytes: MAX_BYTES.writtenByPeople,
  })
    .then(
      (text) =>
        JSON.parse(text) as {
          readonly base_model_name_or_path?: unknown;
          readonly model?: unknown;
        },
    )
    .catch(() => null);
  const named = config?.base_model_name_or_path ?? config?.model;
  return typeof named === 'string' && named !== '' ? named : null;
}

/** Lets the user browse for a model folder or a .gguf file. Undefined: cancelled. */
export async function browseModel(placeHolder: string, title: string): Promise<string | undefined> {
  const folder = {
    icon: 'folder',
    label: t('Browse for a Hugging Face model folder…'),
    what: 'folder' as const,
  };
  const file = { icon: 'file', label: t('Browse for a .gguf file…'), what: 'file' as const };
  const chosen = await pickRow([folder, file], { placeHolder });
  return (
    chosen && browse(chosen.what, title, chosen.what === 'file' ? { GGUF: ['gguf'] } : undefined)
  );
}
