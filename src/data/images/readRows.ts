import { LoraError } from '../../shared/errors';

/** What is known of a row with an image. */
interface ImageOfRow {
  readonly line: number;
  readonly file: string;
}

/**
 * Reads the images of rows, as many at a time as there are rows.
 *
 * @throws LoraError('dataset') for the first that cannot be read, with its file and its row.
 */
export const readImagesOf = <T>(
  rows: readonly ImageOfRow[],
  read: (file: string) => Promise<T>,
): Promise<T[]> => Promise.all(rows.map((row) => readImageOf(row, read)));

/** Reads an image of a row. @throws LoraError('dataset') with its file and its row. */
export const readImageOf = <T>(
  { file, line }: ImageOfRow,
  read: (file: string) => Promise<T>,
): Promise<T> =>
  read(file).catch((error: unknown) => {
    throw ofRow(error, line);
  });

function ofRow(error: unknown, line: number): unknown {
  if (!(error instanceof LoraError)) return error;
  return new LoraError(error.area, `Row ${line} of the dataset: ${error.message}`, {
    ...(error.place && { place: error.place }),
    ...(error.fix !== undefined && { fix: error.fix }),
    cause: error,
  });
}
