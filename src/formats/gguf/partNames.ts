/** NAME-00001-of-00003.gguf */
const PART_NAME = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/i;
/** More parts than any model has. */
const MAX_PARTS = 10_000;

/** The number of a part as its name has it. */
export const paddedPart = (value: number) => String(value).padStart(5, '0');

/** The names of all parts of the model that a file is a part of, in order; null: it is no part. */
export function ggufParts(name: string): string[] | null {
  const [, stem, , digits] = PART_NAME.exec(name) ?? [];
  const count = Number(digits);
  if (stem === undefined || count < 1 || count > MAX_PARTS) return null;
  return Array.from({ length: count }, (_, i) => `${stem}-${paddedPart(i + 1)}-of-${digits}.gguf`);
}

/** Whether a file is a part of a model, but not the first one, by which a model is named. */
export function isLaterPart(name: string): boolean {
  const [, , index] = PART_NAME.exec(name) ?? [];
  return index !== undefined && Number(index) !== 1;
}

/** Projectors for images, vocabularies and importance matrices are no base models. */
const NO_BASE = /mmproj|ggml-vocab|imatrix/i;

/** Whether the name of a .gguf file says that it holds no model. */
export const isNoBase = (name: string): boolean => NO_BASE.test(name);
