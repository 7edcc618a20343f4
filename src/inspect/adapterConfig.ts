import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../common/regularFile';
import { CONFIG_FILE, isPeftFile } from '../formats/peft/fileNames';
import { isObject } from '../shared/values';

/** The keys that say what the tensors of an adapter mean, in the order in which they are shown. */
const SHOWN = [
  'peft_type',
  'base_model_name_or_path',
  'r',
  'lora_alpha',
  'use_rslora',
  'use_dora',
  'target_modules',
  'layers_to_transform',
  'rank_pattern',
  'alpha_pattern',
  'modules_to_save',
  'trainable_token_indices',
  'bias',
];

/**
 * What the adapter_config.json beside the weights of an adapter says of them; nothing beside other
 * files, and where it cannot be read.
 */
export async function adapterConfigOf(file: string): Promise<{ key: string; value: string }[]> {
  if (!isPeftFile(path.basename(file))) return [];
  const place = path.join(path.dirname(file), CONFIG_FILE);
  const limits = { maxBytes: MAX_BYTES.writtenByPeople, links: 'followed' } as const;
  const config: unknown = await readTextFile(place, limits)
    .then(JSON.parse)
    .catch(() => null);
  if (!isObject(config)) return [];
  return SHOWN.filter((key) => isSet(config[key])).map((key) => ({
    key,
    value: typeof config[key] === 'string' ? config[key] : JSON.stringify(config[key]),
  }));
}

/** Whether a value differs from those that mean "none" to PEFT. */
const isSet = (value: unknown): boolean =>
  ![undefined, 'null', 'false', '[]', '{}', '"none"'].includes(JSON.stringify(value));
