import { createHash } from 'node:crypto';
import path from 'node:path';
import { withSafetensors } from '../../formats/safetensors/read';
import { writeSafetensors } from '../../formats/safetensors/write';
import { refuseLinks } from '../../common/withoutLinks';
import { LoraError, type Problem } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import { countOf } from '../../shared/values';
import type { Examples } from '../../data/examples/examples';
import type { References } from './comparisons';

/** The references of a training run: of its examples, and of those for validation. */
export interface KeptReferences {
  readonly train: References;
  readonly validation: References;
}

const PARTS = ['train', 'validation'] as const;
const KINDS = ['answers', 'mismatched'] as const;

/** The numbers of values that a file must have. */
type Sizes = Readonly<Record<(typeof PARTS)[number], number>>;

/** A text as sha256. */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const fileOf = (runDir: string): string => path.join(runDir, RUN_FILES.references);

/** Keeps references in the folder of a run, so that a resumed one need not compute them again. */
export async function writeReferences(
  runDir: string,
  references: KeptReferences,
  fingerprint: string,
): Promise<void> {
  await refuseLinks(fileOf(runDir), runDir);
  const tensors = PARTS.flatMap((part) =>
    KINDS.flatMap((kind) => {
      const values = references[part][kind];
      if (values === null || values.length === 0) return [];
      const name = `${part}.${kind}`;
      return [{ name, dtype: 'F64' as const, shape: [values.length], data: values }];
    }),
  );
  await writeSafetensors(fileOf(runDir), tensors, { fingerprint });
}

/**
 * The references that a run keeps. Null: there are none, they are of something else, or they cannot
 * be read.
 *
 * @param sizes Answers of each part.
 * @param isUnpaired Whether they include mismatched answers.
 */
export async function readReferences(
  runDir: string,
  fingerprint: string,
  { sizes, isUnpaired }: { readonly sizes: Sizes; readonly isUnpaired: boolean },
): Promise<KeptReferences | null> {
  try {
    return await withSafetensors(
      fileOf(runDir),
      async (source) => {
        if (source.header.metadata['fingerprint'] !== fingerprint) return null;
        const values = async (name: string, size: number) => {
          if (size === 0) return new Float64Array(0);
          const tensor = source.tensors.get(name);
          if (tensor?.dtype !== 'F64' || tensor.shape.join() !== String(size))
            throw new RangeError(`${name} does not have ${size} values.`);
          return new Float64Array((await source.readBytes(name)).buffer);
        };
        const part = async (name: (typeof PARTS)[number]): Promise<References> => ({
          answers: await values(`${name}.answers`, sizes[name]),
          mismatched: isUnpaired ? await values(`${name}.mismatched`, sizes[name]) : null,
        });
        return { train: await part('train'), validation: await part('validation') };
      },
      'run',
    );
  } catch {
    return null;
  }
}

/** Numbers of other programs, in other precision, differ a little. */
const SHARE = 0.02;
const LEAST = 0.5;
const MOST_LISTED = 20;

/**
 * Compares what rows say of the reference with what the model gives that training starts from.
 *
 * @param file Of the rows.
 * @throws LoraError('dataset') with the rows whose numbers are of another model
 */
export function checkStated(examples: Examples, { answers }: References, file: string): void {
  const problems: Problem[] = [];
  let wrong = 0;
  for (let index = 0; index < examples.length; index++) {
    const example = examples.at(index);
    if (example.kind !== 'preference' && example.kind !== 'unpaired') continue;
    const stated = [example.stated].flat();
    const width = example.kind === 'preference' ? 2 : 1;
    const at = stated.findIndex((value, i) => isOther(value, answers[width * index + i]!));
    if (at < 0) continue;
    wrong++;
    if (problems.length >= MOST_LISTED) continue;
    const key =
      width === 1 ? 'ref_logps' : (['ref_chosen_logps', 'ref_rejected_logps'] as const)[at]!;
    const message = `"${key}" is ${stated[at]!.toFixed(3)}, but the model that training starts from gives ${answers[width * index + at]!.toFixed(3)}.`;
    problems.push({ severity: 'error', message, place: { file, line: example.line, key } });
  }
  const [first] = problems;
  if (!first) return;
  throw new LoraError(
    'dataset',
    `${countOf(wrong, 'row')} ${wrong === 1 ? 'has' : 'have'} log-probabilities of another reference. ${first.message}`,
    {
      place: first.place!,
      problems,
      fix: 'Remove these columns: the reference is computed from the base, or from init_adapter.',
    },
  );
}

const isOther = (stated: number | null, own: number): boolean =>
  stated !== null && Math.abs(stated - own) > Math.max(LEAST, SHARE * Math.abs(own));
