import { openRegularFile } from '../../common/regularFile';
import { storedZip } from '../../common/storedZip';
import { LoraError } from '../../shared/errors';
import type { BundleItem } from '../target';

/** A dashboard takes 100 MiB at once, and keeps them in memory several times. */
const PACKAGE_BYTES = 64 * 2 ** 20;
/** A zip file names its entries by 16 bits; half of that is more than any item has. */
const PACKAGE_PIECES = 2 ** 15;

/** A part of a file of an item: an entry of a package. */
export interface Piece {
  readonly package: string;
  readonly name: string;
  /** The file's place in the item. */
  readonly file: number;
  readonly offset: number;
  readonly bytes: number;
}

/** How an item is sent: its files, in packages that a dashboard takes. For engine/ray/launch.py. */
export interface ItemPlan {
  readonly id: string;
  readonly label: string;
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  readonly pieces: readonly Piece[];
}

/** Cuts an item into packages: small files together, large files in pieces. */
export function planItem({ id, label, files }: BundleItem, packageBytes = PACKAGE_BYTES): ItemPlan {
  const pieces: Omit<Piece, 'package'>[][] = [[]];
  let free = packageBytes;
  files.forEach(({ size }, file) => {
    let offset = 0;
    do {
      if (free === 0 || pieces.at(-1)!.length === PACKAGE_PIECES) {
        pieces.push([]);
        free = packageBytes;
      }
      const bytes = Math.min(free, size - offset);
      pieces.at(-1)!.push({ name: `${file}.${offset}`, file, offset, bytes });
      offset += bytes;
      free -= bytes;
    } while (offset < size);
  });
  return {
    id,
    label,
    files: files.map(({ path, sha256 }) => ({ path, sha256 })),
    pieces: pieces.flatMap((own, index) =>
      own.map((piece) => ({ package: packageName(id, index, pieces.length), ...piece })),
    ),
  };
}

const packageName = (id: string, index: number, count: number): string =>
  `_ray_pkg_lora_${id}_${index}_${count}.zip`;

/** The names of the packages of an item. */
export const packagesOf = ({ pieces }: ItemPlan): readonly string[] => [
  ...new Set(pieces.map((piece) => piece.package)),
];

/** The bytes of files in some packages. */
export const bytesOf = (pieces: readonly Piece[]): number =>
  pieces.reduce((sum, { bytes }) => sum + bytes, 0);

/**
 * Reads one package of an item.
 *
 * @throws LoraError('target') when a file is shorter than it was; the file system's error
 */
export async function readPackage(item: BundleItem, pieces: readonly Piece[]): Promise<Buffer> {
  const entries: Record<string, Buffer> = {};
  for (const { name, file, offset, bytes } of pieces) {
    const { source } = item.files[file]!;
    const { handle } = await openRegularFile(source);
    try {
      const data = Buffer.alloc(bytes);
      for (let done = 0; done < bytes;) {
        const { bytesRead } = await handle.read(data, done, bytes - done, offset + done);
        if (bytesRead === 0)
          throw new LoraError('target', 'A file became shorter while it was sent.', {
            place: { file: source },
          });
        done += bytesRead;
      }
      entries[name] = data;
    } finally {
      await handle.close();
    }
  }
  return storedZip(entries);
}
