import { commonModels } from '../../src/engine/model/commonSizes';
import { usualMemory, type KnownBase } from '../../src/engine/model/usualMemory';
import { parametersOf } from '../../src/formats/architecture/size';
import { tensorsOf } from '../../src/formats/architecture/modules';
import type { Spec } from '../../src/formats/architecture/spec';
import type { TypeMemory } from '../../src/shared/stepMemory';

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: true, available: 0 };
/** Numbers of a block of Q4_0, and its bytes. */
const [BLOCK, BLOCK_BYTES] = [32, 18];

/** The types of the columns, from left to right. */
const COLUMNS = ['float32', 'bfloat16', 'int8', 'nf4', 'quantized'] as const;
export const HEADINGS = ['float32', 'bfloat16', 'int8', 'NF4', 'quantized (Q4_0)'];

/** A row of cells for each size: the memory of a step in GB, and with recomputation. */
export const memoryRows = (): string[][] =>
  commonModels().map(({ model, spec }) => {
    const parameters = parametersOf(spec);
    const types = [{ spec, parameters }, inQ4(spec, parameters)].flatMap(
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

/** A base of which every matrix is in Q4_0, as in a GGUF file. */
function inQ4(spec: Spec, parameters: number): KnownBase {
  const tensors = new Map(
    tensorsOf(spec).body.map((own) => [own.name, { ...own, dtype: 'F32' as const }]),
  );
  const blocksOf = (name: string) => {
    const shape = tensors.get(name)?.shape ?? [];
    return shape.length === 2 ? { row_bytes: (shape[1]! / BLOCK) * BLOCK_BYTES } : null;
  };
  return { spec, parameters, weights: { tensors, blocksOf } };
}
