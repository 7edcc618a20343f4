import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason } from '../../common/fileStatus';
import { LoraError, type Problem } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import type { ImageRow } from '../rows/row';

const IMAGE = /\.(?:png|jpe?g)$/i;

export interface ImageFolder {
  readonly rows: readonly ImageRow[];
  readonly problems: readonly Problem[];
  /** Of the list of files with their sizes. */
  readonly fingerprint: FileFingerprint;
}

/**
 * A folder that holds a folder of images for each class, named after it. Errors:
 * LoraError('dataset').
 */
export async function readImageFolder(folder: string): Promise<ImageFolder> {
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
    rows: files.map(({ label, file }, i) => ({ kind: 'image', line: i + 1, file, label })),
    problems: skippedOf(skipped),
    fingerprint: await fingerprintOf(
      folder,
      files.map(({ file }) => file),
    ),
  };
}

function noImages(folder: string, classes: readonly string[]): LoraError {
  const found =
    classes.length === 0
      ? 'it holds no folders'
      : `none of its folders (${classes.slice(0, 4).join(', ')}) holds a PNG or JPEG`;
  return new LoraError('dataset', `There are no images to learn from: ${found}.`, {
    place: { file: folder },
    fix: 'Make a folder for each class in it, named after the class, with the images of that class.',
  });
}

function skippedOf(files: readonly string[]): Problem[] {
  const [first] = files;
  return first === undefined
    ? []
    : [
        {
          severity: 'warning',
          message: `${files.length === 1 ? 'One file is' : `${files.length} files are`} neither PNG nor JPEG and left out.`,
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
