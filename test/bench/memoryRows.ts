import { commonModels, storedAs } from '../../src/formats/architecture/commonSizes';
import { parametersOf } from '../../src/formats/architecture/size';
import { usualMemory } from '../../src/formats/architecture/usualMemory';
import type { TypeMemory } from '../../src/shared/stepMemory';

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: true, available: 0 };

/** The types of the columns, from left to right. */
const COLUMNS = ['float32', 'bfloat16', 'int8', 'nf4', 'quantized'] as const;
export const HEADINGS = ['float32', 'bfloat16', 'int8', 'NF4', 'quantized (Q4_0)'];

/** A row of cells for each size: the memory of a step in GB, and with recomputation. */
export const memoryRows = (): string[][] =>
  commonModels().map(({ model, spec }) => {
    const parameters = parametersOf(spec);
    const types = [{ spec, parameters }, storedAs(spec, 'Q4_0')].flatMap(
      (base) => usualMemory(base, MACHINE).types,
    );
    const cells = COLUMNS.map((column) =>
      cellOf(types.find(({ base_dtype }) => base_dtype === column)!),
    );
    return [model.replace(/^.*\/|-Instruct$/g, ''), `${(parameters / 1e9).toFixed(1)} B`, ...cells];
  });

const cellOf = ({ bytes, recomputed_bytes }: TypeMemory): string =>
  `${gigabytes(bytes)} / ${gigabytes(recomputed_bytes)}`;

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
