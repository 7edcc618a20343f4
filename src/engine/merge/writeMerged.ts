import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { BaseModel } from '../../formats/baseModel';
import type { QuantizeOptions } from '../../formats/quantized/whileLoading';
import type { MergeKernel } from '../../models/ops/mergeKernel';
import type { Ops } from '../../models/ops/ops';
import { checkDiskSpace } from '../outputPath';
import { folderOfModel, mergeWarnings, placeIn, type Certificate } from './certificate';
import type { MergeDtype } from './form';
import { hashInputs } from './hashInputs';
import { mergeSizes } from './sizes';
import { SMALL_FILES_BYTES, writeWithProgress, type MergeTarget } from './target';

/** What to merge, and how. */
export interface MergeOptions {
  readonly base: string;
  /** Folders or files, from the bottom to the top. */
  readonly adapters: readonly string[];
  readonly output: string;
  /** Factor for the updates. */
  readonly scale: number;
  /** Leave out the modules that do not fit the base; false: offer it. */
  readonly partial?: boolean;
  readonly dtype: MergeDtype;
  /** Merge into the values that the base has when it is quantized. Default: as it is stored. */
  readonly quantize?: QuantizeOptions | null;
  /** The largest size of a weight file in bytes; null keeps the base's distribution. */
  readonly max_shard_size: number | null;
  /** Null: parity is not measured. */
  readonly ops: (() => Promise<Ops>) | null;
  /** Finds the kernel that adds products to rows; null: there is none. Missing: none is used. */
  readonly kernel?: () => Promise<MergeKernel | null>;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly onProgress: (
    phase: 'merging' | 'checking inputs' | 'comparing',
    fraction: number,
  ) => void;
}

/** What a certificate says besides sizes, files and tensors. */
export interface MergeFacts {
  readonly formula: string;
  readonly kernel?: MergeKernel | null;
  /** Compares the written model with base and adapters. */
  readonly compare: (
    modelPath: string,
  ) => Promise<Pick<Certificate, 'parity' | 'weights' | 'makes'>>;
}

/** Writes a merged model and its certificate; see `mergeModel`. */
export async function writeMerged(
  target: MergeTarget,
  base: Pick<BaseModel, 'path' | 'hub' | 'weight_files'>,
  options: MergeOptions,
  { formula, compare, kernel = null }: MergeFacts,
): Promise<Certificate> {
  const { output, adapters: folders, scale, dtype, signal, warn, onProgress } = options;
  await checkDiskSpace(output, target.bytes + SMALL_FILES_BYTES);
  let certificate: Certificate | undefined;
  const place = path.resolve(folderOfModel(output));
  await target.place(async (temp) => {
    const { outputs, tensors } = await writeWithProgress(target, temp, {
      signal,
      kernel,
      file: base.path,
      onProgress: (fraction) => onProgress('merging', fraction),
    });
    const inputs = await hashInputs(base, folders, {
      signal,
      onProgress: (fraction) => onProgress('checking inputs', fraction),
    });
    const compared = await compare(target.modelIn(temp));
    certificate = {
      version: 1,
      created: new Date().toISOString(),
      formula,
      scale,
      partial: options.partial === true,
      dtype,
      base: base.hub ?? placeIn(place, base.path),
      adapters: folders.map((folder) => placeIn(place, folder)),
      inputs: inputs.map((own) => ({ ...own, file: placeIn(place, own.file) })),
      outputs,
      untied: target.plan.tie === false,
      sizes: await mergeSizes(base, target),
      tensors: [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1)),
      ...compared,
      warnings: mergeWarnings(tensors),
    };
    const json = `${JSON.stringify(certificate, null, 2)}\n`;
    await writeFile(target.certificateIn(temp), json, { flush: true });
  });
  for (const warning of certificate!.warnings) {
    warn(warning);
  }
  return certificate!;
}
