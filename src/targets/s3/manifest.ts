import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { isInRun } from '../../shared/run';
import { MAX_FILES } from '../target';

/** The largest part of a file. */
export const PART_BYTES = 16 * 2 ** 20;
/** The largest part of a file that grows: its last one is written again with what is new. */
export const GROWING_PART_BYTES = 2 ** 20;
export const MAX_MANIFEST_BYTES = 16 * 2 ** 20;

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const PartSchema = v.object({
  sha256: hash,
  size: v.pipe(count, v.minValue(1), v.maxValue(PART_BYTES)),
});
const FileSchema = v.object({
  path: v.pipe(v.string(), v.maxLength(1024)),
  size: count,
  version: v.pipe(v.string(), v.maxLength(128)),
  sha256: v.nullable(hash),
  parts: v.array(PartSchema),
});
const ManifestSchema = v.object({
  version: v.literal(1),
  root: v.pipe(v.string(), v.maxLength(4096)),
  files: v.pipe(v.array(FileSchema), v.maxLength(MAX_FILES)),
});

/** A piece of a file: an object with the name of its hash. */
export type Part = v.InferOutput<typeof PartSchema>;
/** A file whose content is its parts, one after the other. */
export type KeptFile = v.InferOutput<typeof FileSchema>;
/** What a bucket has of a run at one moment. */
export type Manifest = v.InferOutput<typeof ManifestSchema>;

/** Reads a manifest, which may be untrusted. @throws LoraError('target') */
export function checkedManifest(content: Buffer): Manifest {
  try {
    const manifest = v.parse(ManifestSchema, JSON.parse(content.toString('utf8')));
    const wrong = manifest.files.find((file) => !isInRun(file.path) || !isWhole(file));
    if (wrong === undefined) return manifest;
    throw new Error(`${JSON.stringify(wrong.path.slice(0, 100))} is not valid`);
  } catch (error) {
    throw new LoraError('target', 'The list of files in the bucket is not valid.', {
      cause: error,
    });
  }
}

const isWhole = ({ size, parts }: KeptFile): boolean =>
  parts.reduce((sum, part) => sum + part.size, 0) === size;

/** The part that a byte of a file is in, and where it begins; null: beyond the end. */
export function partAt(
  { parts }: KeptFile,
  offset: number,
): { readonly part: Part; readonly start: number } | null {
  let start = 0;
  for (const part of parts) {
    if (offset < start + part.size) return { part, start };
    start += part.size;
  }
  return null;
}
