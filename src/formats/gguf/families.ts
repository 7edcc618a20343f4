import { LoraError } from '../../shared/errors';
import { FAMILIES } from '../architecture/families';
import type { GgufFamily } from './family';

/** The GGUF architectures that are supported, by `general.architecture`. */
export const GGUF_FAMILIES: ReadonlyMap<string, GgufFamily> = new Map(
  Object.values(FAMILIES).flatMap(({ gguf }) => (gguf ? [[gguf.arch, gguf]] : [])),
);

/** @throws LoraError('base') naming the supported architectures when `arch` is not one. */
export function ggufFamilyOf(arch: string, file: string): GgufFamily {
  const family = GGUF_FAMILIES.get(arch);
  if (family) return family;
  throw new LoraError(
    'base',
    `The architecture "${arch}" is not supported in GGUF files. Supported: ${[...GGUF_FAMILIES.keys()].join(', ')}.`,
    { place: { file, key: 'general.architecture' } },
  );
}
