import type { Sizes } from '../../shared/pages/configure/protocol';
import { formsOfSize } from '../../shared/stepMemory';
import { BATCHES, EXAMPLE_RANK } from '../../shared/usualBatch';
import type { AskInspections } from '../inspection/inspections';
import { hostMachine } from '../setup/machineMemory';

/** The memory that a step needs for models of common sizes, and what is available now. */
export async function sizesHere(
  inspections: AskInspections,
  machine = hostMachine(),
): Promise<Sizes> {
  const sizes = await inspections.ask('commonSizes', { machine });
  const { rows, length } = BATCHES.causal_lm;
  return {
    rows,
    length,
    rank: EXAMPLE_RANK,
    there: machine.available,
    models: sizes.map((size) => ({
      model: size.model,
      parameters: size.parameters,
      forms: formsOfSize(size).map(({ name, bytes, recomputed_bytes, fit }) => ({
        name,
        bytes,
        recomputed_bytes,
        fit,
      })),
    })),
  };
}
