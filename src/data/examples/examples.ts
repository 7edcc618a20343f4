import { lengthOf, type Example, type PackedExample, type TokensExample } from './example';

/** Examples by index, of which only numbers need to be in memory. */
export interface Examples {
  readonly length: number;
  /** Length by which the example is padded and sorted. */
  lengthAt(index: number): number;
  /** Reads the example. @throws LoraError('disk') where it cannot be read */
  at(index: number): Example;
}

/** Examples that are in memory. */
export const examplesOf = (items: readonly Example[]): Examples => ({
  length: items.length,
  lengthAt: (index) => lengthOf(items[index]!),
  at: (index) => items[index]!,
});

/** Some of the examples, in the order of `indices`. */
export const selectExamples = (all: Examples, indices: Int32Array): Examples => ({
  length: indices.length,
  lengthAt: (index) => all.lengthAt(indices[index]!),
  at: (index) => all.at(indices[index]!),
});

/** Rows of several examples each, by the indices of their parts. */
export const packedExamples = (all: Examples, rows: readonly (readonly number[])[]): Examples => ({
  length: rows.length,
  lengthAt: (index) => rows[index]!.reduce((sum, part) => sum + all.lengthAt(part), 0),
  at: (index): PackedExample => ({
    kind: 'packed',
    parts: rows[index]!.map((part) => all.at(part) as TokensExample),
  }),
});
