import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import { t } from '../text/l10n';
import { browse, pickRow } from '../ui/inputs';

/**
 * The base model of an adapter, if it is on this disk; else one that the user browses for.
 * Undefined: cancelled.
 */
export async function chooseBaseOf(
  adapter: string,
  kinds: ModelKinds = 'language',
): Promise<string | undefined> {
  const named = await namedBase(adapter);
  const found = await baseOnDisk(adapter, named);
  if (found !== null) return found;
  return browseModel(
    named === null
      ? t('Select the base model of the adapter')
      : t('Select the base model, {0}', named),
    t('Base Model'),
    kinds,
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

/** Whether also image models can be chosen, folders of Diffusers and .safetensors files. */
export type ModelKinds = 'language' | 'all';

/** Lets the user browse for a model: a folder or a file. Undefined: cancelled. */
export async function browseModel(
  placeHolder: string,
  title: string,
  kinds: ModelKinds = 'language',
): Promise<string | undefined> {
  const folder = {
    icon: 'folder',
    label:
      kinds === 'all'
        ? t('Browse for a folder of Hugging Face or Diffusers…')
        : t('Browse for a Hugging Face model folder…'),
    what: 'folder' as const,
    filters: undefined,
  };
  const file = (label: string, filters: Record<string, string[]>) => ({
    ...{ icon: 'file', label, what: 'file' as const, filters },
  });
  const image = file(t('Browse for a .safetensors file of an image model…'), {
    Safetensors: ['safetensors'],
  });
  const layers = file(t('Browse for a model.json of TensorFlow.js…'), { JSON: ['json'] });
  const rows = [
    folder,
    file(t('Browse for a .gguf file…'), { GGUF: ['gguf'] }),
    ...(kinds === 'all' ? [image, layers] : []),
  ];
  const chosen = await pickRow(rows, { placeHolder });
  return chosen && browse(chosen.what, title, chosen.filters);
}
