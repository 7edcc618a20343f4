import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isPipelineBase } from '../../formats/diffusion/base';
import { openBase } from '../../formats/openBase';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { readAdapters } from '../adapters/readAdapters';
import {
  basePlace,
  folderOfModel,
  placeIn,
  readCertificate,
  type CertificateFile,
} from '../merge/certificate';
import { openTarget } from '../merge/openTarget';
import type { TensorFacts } from '../merge/roundingFacts';
import { SMALL_FILES_BYTES, writeWithProgress, type MergeTarget } from '../merge/target';
import { clearUnfinished } from '../../common/unfinished';
import { checkDiskSpace, checkOutput } from '../outputPath';
import { checkInputs } from './checkInputs';
import { largestDifference } from './largestDifference';

/** What to unmerge, and where to. */
export interface UnmergeOptions {
  /** The folder or .gguf file that a merge wrote. */
  readonly merged: string;
  readonly output: string;
  /** Where the adapters are now; empty: where the certificate says. */
  readonly adapters: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (
    phase: 'checking inputs' | 'unmerging' | 'comparing',
    fraction: number,
  ) => void;
}

/** unmerge.json: what was subtracted, and how far the result may be from the base. */
export interface Unmerged {
  readonly version: 1;
  readonly created: string;
  readonly merged: string;
  readonly adapters: readonly string[];
  /** For each changed tensor: the rounding errors of the merge and of the unmerge, added up. */
  readonly tensors: readonly { readonly name: string; readonly bound: number }[];
  /** The largest difference from the base; null if the base no longer exists. */
  readonly largest_difference: number | null;
}

const RECORD = 'unmerge.json';

/**
 * Subtracts the adapters from a merged model: W' - s·BA, within rounding.
 * @throws LoraError when the model or an adapter has changed since the merge, when the merge cannot
 * be undone (DoRA, tensors that were replaced), or when the output exists.
 */
export async function unmergeModelFile(options: UnmergeOptions): Promise<Unmerged> {
  const { merged, output, signal, onProgress } = options;
  const certificate = await readCertificate(merged);
  if (await isPipelineBase(merged)) throw imagesStay(merged, certificate);
  const folders =
    options.adapters.length > 0
      ? options.adapters.map((folder) => path.resolve(folder))
      : certificate.adapters;
  await checkOutput(output, [merged, ...folders]);
  if (merged.endsWith('.gguf') !== output.endsWith('.gguf')) {
    throw new LoraError(
      'usage',
      'The output must be of the same kind as the merged model: a folder, or a .gguf file.',
      { place: { file: output }, fix: 'Name an output of the same kind.' },
    );
  }
  await clearUnfinished(output);
  onProgress('checking inputs', 0);
  await checkInputs(merged, certificate, folders, signal);
  const model = await openBase(merged);
  try {
    const adapters = await readAdapters(folders, asMerged(model, certificate), {
      warn: () => undefined,
      partial: certificate.partial === true,
    });
    const negated = adapters.map((adapter, n) => negate(adapter, certificate, folders[n]!));
    const target = await openTarget(model, negated, {
      output,
      dtype: 'keep',
      max_shard_size: null,
      labels: null,
      top: folders.at(-1)!,
      retie: outputLayerToTie(certificate, model),
    });
    try {
      return await write(target, certificate, folders, options);
    } finally {
      await target.close();
    }
  } finally {
    await model.close();
  }
}

const imagesStay = (file: string, { base }: CertificateFile): LoraError =>
  new LoraError('usage', 'An image model cannot be unmerged.', {
    place: { file },
    fix: `Use the base, which was ${base}, or merge the adapter into this model with the scale -1 (--scale).`,
  });

/** The model with the output layer tied as it was when the adapters were read for the merge. */
function asMerged(model: BaseModel, { untied }: CertificateFile): BaseModel {
  const { spec } = model;
  if (!untied || spec.head.kind !== 'lm') {
    return model;
  }
  return { ...model, spec: { ...spec, head: { ...spec.head, tied: true } } };
}

/** The output layer's weight, if the merge separated it from the embedding. */
const outputLayerToTie = ({ untied }: CertificateFile, { spec }: BaseModel): string | null =>
  untied && spec.head.kind === 'lm' ? `${spec.head.output.path}.weight` : null;

/**
 * The adapter with the opposite sign.
 * @throws LoraError('adapter') when the merged weights do not determine the base's.
 */
function negate(adapter: Adapter, { scale, base }: CertificateFile, file: string): Adapter {
  const obstacle = obstacleTo(adapter);
  if (obstacle !== null) {
    throw new LoraError('adapter', `The merge of this adapter cannot be undone: ${obstacle}.`, {
      place: { file },
      fix: `Use the base, which was ${base}.`,
    });
  }
  return {
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, scaling: -m.scaling * scale })),
  };
}

function obstacleTo({ modules, trained }: Adapter): string | null {
  if (modules.some((m) => m.magnitude)) {
    return 'DoRA changes the norm of each row, and the merged weights do not contain the old norms';
  }
  const [replaced] = trained;
  return replaced
    ? `${replaced.name} was replaced by ${replaced.rows ? 'rows of tokens' : 'a fully trained tensor'}`
    : null;
}

async function write(
  target: MergeTarget,
  certificate: CertificateFile,
  adapters: readonly string[],
  { merged, output, signal, onProgress }: UnmergeOptions,
): Promise<Unmerged> {
  await checkDiskSpace(output, target.bytes + SMALL_FILES_BYTES);
  let record: Unmerged | undefined;
  await target.place(async (temp) => {
    const { tensors } = await writeWithProgress(target, temp, {
      signal,
      file: merged,
      onProgress: (fraction) => onProgress('unmerging', fraction),
    });
    record = {
      version: 1,
      created: new Date().toISOString(),
      merged,
      adapters,
      tensors: errorBounds(tensors, certificate),
      largest_difference: await largestDifference(basePlace(certificate), target.modelIn(temp), {
        signal,
        onProgress: (fraction) => onProgress('comparing', fraction),
      }),
    };
    const isFile = output.endsWith('.gguf');
    const name = isFile ? `${path.basename(output)}.${RECORD}` : RECORD;
    const folder = path.resolve(folderOfModel(output));
    const published = {
      ...record,
      merged: placeIn(folder, merged),
      adapters: adapters.map((own) => placeIn(folder, own)),
    };
    const json = `${JSON.stringify(published, null, 2)}\n`;
    await writeFile(path.join(temp, name), json, { flush: true });
  });
  return record!;
}

function errorBounds(
  facts: readonly TensorFacts[],
  { tensors }: CertificateFile,
): Unmerged['tensors'] {
  const ofMerge = new Map(tensors.map(({ name, rounding_error }) => [name, rounding_error]));
  return facts.map(({ name, rounding_error }) => ({
    name,
    bound: rounding_error + (ofMerge.get(name) ?? 0),
  }));
}
