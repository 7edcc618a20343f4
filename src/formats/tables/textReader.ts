import type { RowReader } from './table';

/** A reader of a text, which is read in order and counted only by that; nothing is to be closed. */
export const textReader = (parts: Pick<RowReader, 'unit' | 'columns' | 'batches'>): RowReader => ({
  ...parts,
  count: null,
  isSequential: true,
  close: () => Promise.resolve(),
});
