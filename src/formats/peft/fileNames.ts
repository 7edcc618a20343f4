import path from 'node:path';

/** The files of an adapter's folder. */
export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';
export const INDEX_FILE = `${WEIGHTS_FILE}.index.json`;
export const SHARD = /^adapter_model-\d+-of-\d+\.safetensors$/;
/** Diffusers' name of an adapter's file. */
export const DIFFUSERS_FILE = 'pytorch_lora_weights.safetensors';

/** Whether a file belongs to an adapter's folder. */
export const isPeftFile = (name: string): boolean =>
  [CONFIG_FILE, WEIGHTS_FILE, INDEX_FILE].includes(name) || SHARD.test(name);

/** The folder of an adapter, given that or one of its files. */
export const peftFolder = (given: string): string =>
  isPeftFile(path.basename(given)) ? path.dirname(given) : given;
