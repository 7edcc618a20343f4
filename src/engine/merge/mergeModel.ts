import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder, refuseReplacements } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { Ops } from '../../models/ops/ops';
import { readAdapters } from '../adapters/readAdapters';
import { baseOptionsOf } from '../model/openModel';
import { clearUnfinished } from '../../common/unfinished';
import { checkDiskSpace, checkOutput } from '../outputPath';
import { folderOfModel, mergeWarnings, placeIn, type Certificate } from './certificate';
import type { MergeDtype } from './form';
import { hashInputs } from './hashInputs';
import { openTarget } from './openTarget';
import { measureParity } from './parity';
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
  /** The largest size of a weight file in bytes; null keeps the base's distribution. */
  readonly max_shard_size: number | null;
  /** Null: parity is not measured. */
  readonly ops: (() => Promise<Ops>) | null;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly onProgress: (
    phase: 'merging' | 'checking inputs' | 'comparing',
    fraction: number,
  ) => void;
}

/**
 * Writes W + s·BA as a model of its own, a folder or a .gguf file, with its certificate. The output
 * appears only when it is complete.
 * @throws LoraError when the adapters cannot be merged into the base, the output exists, the disk
 * is full, or the job is cancelled.
 */
export async function mergeModel(options: MergeOptions): Promise<Certificate> {
  const { adapters: folders, output, base: basePath, dtype, max_shard_size } = options;
  const top = folders.at(-1)!;
  const task = await readAdapterTask(top);
  await checkOutput(output, [basePath, ...folders]);
  await clearUnfinished(output);
  const base = await openBaseUnder(basePath, top, baseOptionsOf(task));
  try {
    for (const folder of folders.slice(0, -1)) {
      await refuseReplacements(folder, base);
    }
    const adapters = await readAdapters(folders, base, options);
    checkMergeable(adapters, folders);
    checkScalable(adapters, options.scale, top);
    const target = await openTarget(base, scaled(adapters, options.scale), {
      output,
      dtype,
      max_shard_size,
      labels: task.labels,
      top,
      retie: null,
    });
    try {
      return await write(target, base, adapters, options);
    } finally {
      await target.close();
    }
  } finally {
    await base.close();
  }
}

const hasDora = ({ modules }: Adapter): boolean => modules.some((m) => m.magnitude);

function checkMergeable(adapters: readonly Adapter[], folders: readonly string[]): void {
  const dora = adapters.findIndex(hasDora);
  if (dora >= 0 && adapters.length > 1) {
    throw new LoraError(
      'adapter',
      'A DoRA adapter also scales the weights below it, so it can only be merged alone.',
      {
        place: { file: folders[dora]! },
        fix: 'Merge the others first, then this one into the result if it was trained on it.',
      },
    );
  }
}

function checkScalable(adapters: readonly Adapter[], scale: number, file: string): void {
  const isScalable = adapters.every((adapter) => adapter.trained.length === 0 && !hasDora(adapter));
  const tooLarge = adapters
    .flatMap(({ modules }) => modules)
    .find((m) => !Number.isFinite(Math.fround(m.scaling * scale)));
  if (tooLarge) {
    throw new LoraError(
      'usage',
      `The scale of ${tooLarge.path} would be ${tooLarge.scaling * scale}, which float32 cannot hold.`,
      { place: { file }, fix: 'Choose a smaller scale (--scale).' },
    );
  }
  if (scale !== 1 && !isScalable) {
    throw new LoraError(
      'usage',
      'Only LoRA updates can be scaled, not the magnitudes of DoRA or fully trained tensors.',
      { place: { file }, fix: 'Leave out the scale (--scale).' },
    );
  }
}

const scaled = (adapters: readonly Adapter[], scale: number): Adapter[] =>
  adapters.map((adapter) => ({
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, scaling: m.scaling * scale })),
  }));

async function write(
  target: MergeTarget,
  base: BaseModel,
  adapters: readonly Adapter[],
  options: MergeOptions,
): Promise<Certificate> {
  const { output, adapters: folders, scale, dtype, signal, ops, warn, onProgress } = options;
  await checkDiskSpace(output, target.bytes + SMALL_FILES_BYTES);
  let certificate: Certificate | undefined;
  const place = path.resolve(folderOfModel(output));
  await target.place(async (temp) => {
    const { outputs, tensors } = await writeWithProgress(target, temp, {
      signal,
      file: base.path,
      onProgress: (fraction) => onProgress('merging', fraction),
    });
    const inputs = await hashInputs(base, folders, {
      signal,
      onProgress: (fraction) => onProgress('checking inputs', fraction),
    });
    const parity = ops
      ? await measureParity(base, scaled(adapters, scale), target.modelIn(temp), {
          ops,
          warn,
          onProgress: (fraction) => onProgress('comparing', fraction),
        })
      : null;
    certificate = {
      version: 1,
      created: new Date().toISOString(),
      formula: formulaOf(adapters),
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
      parity,
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

function formulaOf(adapters: readonly Adapter[]): string {
  if (adapters.some(hasDora)) {
    return "W' = m / ‖W + s·BA‖ · (W + s·BA)";
  }
  return adapters.length > 1 ? "W' = W + Σ s·BA" : "W' = W + s·BA";
}
