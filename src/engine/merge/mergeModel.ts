import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { formatSize } from '../../common/formatSize';
import { hashFile } from '../../common/hashFile';
import { detectAdapter, adapterFiles, readAnyAdapter } from '../../formats/adapterFormat';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { estimateLoaded } from '../../lora/memory';
import { modelSize } from '../../formats/architecture/size';
import type { Ops } from '../../models/ops/ops';
import { throwIfCancelled } from '../../common/cancellation';
import { availableMemory } from '../training/memoryCheck';
import { baseOptionsOf } from '../model/openModel';
import { described } from '../commands/describe';
import { warningsOf, type Certificate, type HashedFile, type Parity } from './certificate';
import type { MergeDtype } from './form';
import { parityOf } from './parity';
import { checkOutput, checkRoom, clearUnfinished } from './place';
import type { TensorFacts } from './stream';
import { openTarget } from './openTarget';

export interface MergeOptions {
  readonly base: string;
  readonly adapters: readonly string[];
  readonly output: string;
  readonly scale: number;
  readonly dtype: MergeDtype;
  /** Of a weight file, in bytes; null: as the base's files are. */
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
 * Writes W + s·BA as a model of its own, a folder or a .gguf file, whole or not at all, with its
 * certificate. Errors: LoraError.
 */
export async function mergeModel(options: MergeOptions): Promise<Certificate> {
  const { adapters: folders, output, base: basePath } = options;
  const top = folders.at(-1)!;
  const task = await readAdapterTask(top);
  await checkOutput(output, [basePath, ...folders]);
  await clearUnfinished(output);
  const base = await openBaseUnder(basePath, top, baseOptionsOf(task));
  try {
    const adapters = await readAdapters(folders, base, options);
    return await write(base, adapters, task, options);
  } finally {
    await base.close();
  }
}

async function readAdapters(
  folders: readonly string[],
  base: BaseModel,
  { warn }: MergeOptions,
): Promise<Adapter[]> {
  const adapters: Adapter[] = [];
  for (const folder of folders) {
    const { adapter, warnings } = await readAnyAdapter(folder, base);
    for (const warning of warnings) warn(described(warning));
    adapters.push(adapter);
  }
  const dora =
    adapters.length > 1
      ? adapters.findIndex((adapter) => adapter.modules.some((m) => m.magnitude))
      : -1;
  if (dora >= 0)
    throw new LoraError(
      'adapter',
      'A DoRA adapter scales what lies below it, so that it can only be merged alone.',
      {
        place: { file: folders[dora]! },
        fix: 'Merge the others first, then this one into the result if it was trained on it.',
      },
    );
  return adapters;
}

async function write(
  base: BaseModel,
  adapters: readonly Adapter[],
  { labels }: AdapterTask,
  options: MergeOptions,
): Promise<Certificate> {
  const { output, scale, dtype, max_shard_size, adapters: folders, signal, onProgress } = options;
  if (
    scale !== 1 &&
    adapters.some(({ modules, trained }) => trained.length > 0 || modules.some((m) => m.magnitude))
  ) {
    throw new LoraError(
      'usage',
      "Only LoRA updates can be scaled, not DoRA's lengths or tensors that were trained whole.",
      { place: { file: folders.at(-1)! }, fix: 'Leave --scale out.' },
    );
  }
  const scaled = adapters.map((adapter) => ({
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, scaling: m.scaling * scale })),
  }));
  const target = await openTarget(base, scaled, {
    output,
    dtype,
    max_shard_size,
    labels,
    top: folders.at(-1)!,
    retie: null,
  });
  let certificate: Certificate | undefined;
  try {
    await checkRoom(output, target.bytes + ROOM_FOR_SMALL_FILES);
    await target.place(async (temp) => {
      const tensors: TensorFacts[] = [];
      let written = 0;
      const outputs = await target.write(temp, {
        signal,
        onTensor: (facts) => tensors.push(facts),
        onBytes: (bytes) => onProgress('merging', (written += bytes) / target.bytes),
      });
      const inputs = await hashInputs(
        base,
        folders,
        (fraction) => onProgress('checking inputs', fraction),
        signal,
      );
      const parity = await measureParity(base, adapters, target.modelIn(temp), options);
      certificate = {
        version: 1,
        created: new Date().toISOString(),
        formula: formulaOf(adapters),
        scale,
        dtype,
        base: base.path,
        adapters: folders.map((folder) => path.resolve(folder)),
        inputs,
        outputs,
        untied: target.plan.tie === false,
        tensors: tensors.sort((a, b) => (a.name < b.name ? -1 : 1)),
        parity,
        warnings: warningsOf(tensors),
      };
      await writeFile(target.certificateIn(temp), `${JSON.stringify(certificate, null, 2)}\n`, {
        flush: true,
      });
    });
    for (const warning of certificate!.warnings) options.warn(warning);
    return certificate!;
  } finally {
    await target.close();
  }
}

const ROOM_FOR_SMALL_FILES = 64e6;

const formulaOf = (adapters: readonly Adapter[]) =>
  adapters.some(({ modules }) => modules.some((m) => m.magnitude))
    ? "W' = m / ‖W + s·BA‖ · (W + s·BA)"
    : adapters.length > 1
      ? "W' = W + Σ s·BA"
      : "W' = W + s·BA";

async function hashInputs(
  base: BaseModel,
  folders: readonly string[],
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<HashedFile[]> {
  const adapters = await Promise.all(folders.map((folder) => detectAdapter(path.resolve(folder))));
  const files = [...base.weight_files, ...adapters.flatMap(adapterFiles)];
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const total = sizes.reduce((a, b) => a + b, 0);
  let done = 0;
  const hashed: HashedFile[] = [];
  for (const file of files) {
    const onBytes = (count: number) => {
      throwIfCancelled(signal);
      done += count;
      onProgress(done / total);
    };
    hashed.push({ file, sha256: await hashFile(file, { onBytes }) });
  }
  return hashed;
}

/** Null where it was not asked for, or where the models do not fit into memory, which is told. */
async function measureParity(
  base: BaseModel,
  adapters: readonly Adapter[],
  merged: string,
  { ops, scale, warn, onProgress }: MergeOptions,
): Promise<Parity | null> {
  if (!ops) return null;
  const needed = estimateLoaded(modelSize(base));
  if (needed > availableMemory()) {
    warn(`Parity was not measured: the model needs ${formatSize(needed)} of memory in f32.`);
    return null;
  }
  onProgress('comparing', 0);
  const parity = await parityOf(base, adapters, scale, merged, await ops());
  onProgress('comparing', 1);
  return parity;
}
