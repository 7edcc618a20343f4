import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason } from '../../common/fileStatus';
import { LoraError, type Problem } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import type { ProblemType } from '../../shared/task';
import type { CaptionedRow, ImageRow } from '../rows/row';

const IMAGE = /\.(?:png|jpe?g)$/i;

export interface ImageFolder {
  readonly rows: readonly ImageRow[];
  readonly problems: readonly Problem[];
  /** A hash of the names and sizes of the files. */
  readonly fingerprint: FileFingerprint;
}

/**
 * Reads a folder with one folder of images per class, named after the class; for regression, after
 * the number.
 *
 * @throws LoraError('dataset') where it cannot be read or has no images.
 */
export async function readImageFolder(
  folder: string,
  problem_type: ProblemType | null = null,
): Promise<ImageFolder> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new LoraError(
      'dataset',
      `The folder of images cannot be read: ${fileErrorReason(error)}.`,
      {
        place: { file: folder },
        fix: 'Name a folder that holds a folder of images for each class.',
        cause: error,
      },
    );
  });
  const classes = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort();
  const files: { readonly label: string; readonly file: string }[] = [];
  const skipped: string[] = [];
  for (const label of classes) {
    for (const name of (await readdir(path.join(folder, label))).sort()) {
      const file = path.join(folder, label, name);
      if (IMAGE.test(name)) files.push({ label, file });
      else if (!name.startsWith('.')) skipped.push(file);
    }
  }
  if (files.length === 0) throw noImages(folder, classes);
  return {
    rows: files.map(({ label, file }, i) => ({
      kind: 'image',
      line: i + 1,
      file,
      label: problem_type === 'regression' && isNumber(label) ? Number(label) : label,
    })),
    problems: skippedOf(skipped),
    fingerprint: await fingerprintOf(
      folder,
      files.map(({ file }) => file),
    ),
  };
}

const isNumber = (name: string): boolean => /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(name);

/** An image of a class with the text that CLIP's authors describe classes by. */
export const captionedByClass = ({ line, file, label }: ImageRow): CaptionedRow => ({
  kind: 'captioned',
  line,
  image: file,
  text: `a photo of a ${String(label).replaceAll('_', ' ')}.`,
});

function noImages(folder: string, classes: readonly string[]): LoraError {
  const found =
    classes.length === 0
      ? 'it has no folders'
      : `none of its folders (${classes.slice(0, 4).join(', ')}) has a PNG or JPEG`;
  return new LoraError('dataset', `The folder has no images to train on: ${found}.`, {
    place: { file: folder },
    fix: 'Put the images of each class into a folder named after the class.',
  });
}

function skippedOf(files: readonly string[]): Problem[] {
  const [first] = files;
  return first === undefined
    ? []
    : [
        {
          severity: 'warning',
          message: `${files.length === 1 ? 'One file is' : `${files.length} files are`} neither PNG nor JPEG and skipped.`,
          place: { file: first },
        },
      ];
}

async function fingerprintOf(folder: string, files: readonly string[]): Promise<FileFingerprint> {
  const hash = createHash('sha256');
  let size = 0;
  for (const file of files) {
    const own = (await stat(file)).size;
    size += own;
    hash.update(`${path.relative(folder, file).split(path.sep).join('/')}\0${own}\n`);
  }
  return { file: folder, size, sha256: hash.digest('hex') };
}
