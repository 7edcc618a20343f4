import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bf16OfProcessor, multipliesBf16 } from '../../runtime/processor';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { prepareTraining } from '../training/prepare';

/** Whether a training run of the recipe fits into the memory is for the machine that trains it. */
const anyMachine = () => ({
  hasBf16: bf16OfProcessor() !== 'none',
  hasKernels: true,
  multipliesBf16: multipliesBf16(),
  available: Number.MAX_SAFE_INTEGER,
});

/**
 * How many examples an epoch of the recipe has.
 *
 * @throws LoraError as a training run does, and where nothing is held out to compare by
 */
export async function countExamples(
  recipe: Recipe,
  file: string,
  onProgress: (fraction: number) => void,
): Promise<number> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'lora-tune-'));
  try {
    const { data, base } = await prepareTraining(recipe, scratch, new Date(), {
      info: () => undefined,
      warn: () => undefined,
      onData: onProgress,
      recordedPlan: null,
      machine: anyMachine(),
    });
    const [examples, validated] = [data.train.length, data.validation.length];
    data.close();
    await base.close();
    if (validated === 0) throw nothingHeldOut(file);
    return examples;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const nothingHeldOut = (file: string): LoraError =>
  new LoraError(
    'recipe',
    'A tune compares configurations on rows that are held out: there are none.',
    {
      place: { file, key: 'validation_split' },
      fix: 'Set validation, or a validation_split above 0.',
    },
  );
