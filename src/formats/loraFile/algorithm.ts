import { LoraError, type Place } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { SafetensorsFile } from '../safetensors/read';

/** Algorithms of LyCORIS that are LoRA, or can become it. */
const ALGORITHMS: ReadonlySet<string> = new Set(['lora', 'locon', 'loha', 'lokr']);

/** @throws LoraError('adapter') when the file's metadata names an algorithm that is not read. */
export function refuseOtherAlgorithms({ file, header: { metadata } }: SafetensorsFile): void {
  const options = argumentsIn(metadata['ss_network_args']);
  const algorithm = options['algo'];
  const isOther = typeof algorithm === 'string' && !ALGORITHMS.has(algorithm.trim().toLowerCase());
  const module = /\.(oft|control_net_lllite)\w*$/.exec(metadata['ss_network_module'] ?? '')?.[1];
  const name = isOther ? algorithm : module;
  if (name === undefined) return;
  throw holdsOther(name, { file, key: isOther ? 'ss_network_args' : 'ss_network_module' });
}

/** A file has another method than LoRA. */
export const holdsOther = (method: string, place: Place): LoraError =>
  new LoraError('adapter', `The file holds ${method}, which is not supported.`, {
    place,
    fix: 'Merge it into its base with the tool that made it.',
  });

/** A JSON object in the metadata; empty when it is not one. */
function argumentsIn(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
