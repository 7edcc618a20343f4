import type { Metadata } from './metadata';

/** What a GGUF file holds. */
export type GgufKind = 'model' | 'adapter' | 'imatrix' | 'mmproj' | 'vocabulary' | 'other';

/** What a GGUF file holds, by its metadata (general.type and general.architecture of llama.cpp). */
export function kindOfGguf(metadata: Metadata, tensors: ReadonlyMap<string, unknown>): GgufKind {
  const type = metadata.string('general.type', 'model');
  const arch = metadata.string('general.architecture', '');
  if (type === 'adapter') return 'adapter';
  if (type === 'imatrix' || metadata.has('imatrix.chunk_count')) return 'imatrix';
  if (type === 'mmproj' || arch === 'clip') return 'mmproj';
  if (type !== 'model') return 'other';
  return tensors.size === 0 && metadata.has('tokenizer.ggml.model') ? 'vocabulary' : 'model';
}

/** The name of such a file, for messages: "The file is …". */
export const GGUF_KINDS: Readonly<Record<GgufKind, string>> = {
  model: 'a model',
  adapter: 'an adapter',
  imatrix: 'an importance matrix (imatrix), which guides the quantisation of a model',
  mmproj: 'a projector for images or sound (mmproj), which belongs to a language model',
  vocabulary: 'a vocabulary without weights',
  other: 'neither a model nor an adapter',
};
