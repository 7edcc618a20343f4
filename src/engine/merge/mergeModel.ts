import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder, refuseReplacements } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import { isPipelineBase } from '../../formats/diffusion/base';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { readAdapters } from '../adapters/readAdapters';
import { baseOptionsOf } from '../model/openModel';
import { clearUnfinished } from '../../common/unfinished';
import { checkOutput } from '../outputPath';
import type { Certificate } from './certificate';
import { openTarget } from './openTarget';
import { mergePipeline } from './pipeline/mergePipeline';
import { llamaOutputOf } from '../use/llamaCommands';
import { writeMerged, type MergeOptions } from './writeMerged';

export type { MergeOptions };
import { measureParity } from './parity';

/**
 * Writes W + s·BA as a model of its own, a folder or a .gguf file, with its certificate. The output
 * appears only when it is complete.
 * @throws LoraError when the adapters cannot be merged into the base, the output exists, the disk
 * is full, or the job is cancelled.
 */
export async function mergeModel(options: MergeOptions): Promise<Certificate> {
  const { adapters: folders, output, base: basePath, dtype, max_shard_size } = options;
  const { quantize = null } = options;
  if (await isPipelineBase(basePath)) {
    if (quantize) refuseToQuantize(basePath);
    return mergePipeline(options);
  }
  const top = folders.at(-1)!;
  const task = await readAdapterTask(top);
  await checkOutput(output, [basePath, ...folders]);
  await clearUnfinished(output);
  const base = await openBaseUnder(basePath, top, { ...baseOptionsOf(task), quantize });
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
      return await writeMerged(target, base, options, {
        formula: formulaOf(adapters) + (quantize ? `, W as quantized to ${quantize.kind}` : ''),
        compare: async (modelPath) => ({
          ...(await parityOf(base, adapters, modelPath, options)),
          makes: llamaOutputOf(base),
        }),
      });
    } finally {
      await target.close();
    }
  } finally {
    await base.close();
  }
}

/** @throws LoraError('usage') */
function refuseToQuantize(file: string): never {
  throw new LoraError('usage', 'Only language models and encoders are quantized.', {
    place: { file },
    fix: 'Merge without quantizing (--quantize).',
  });
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

async function parityOf(
  base: BaseModel,
  adapters: readonly Adapter[],
  modelPath: string,
  { ops, scale, warn, onProgress }: MergeOptions,
): Promise<Pick<Certificate, 'parity'>> {
  if (!ops) return { parity: null };
  const onCompared = (fraction: number) => onProgress('comparing', fraction);
  const parity = await measureParity(base, scaled(adapters, scale), modelPath, {
    ops,
    warn,
    onProgress: onCompared,
  });
  return { parity };
}

function formulaOf(adapters: readonly Adapter[]): string {
  if (adapters.some(hasDora)) {
    return "W' = m / ‖W + s·BA‖ · (W + s·BA)";
  }
  return adapters.length > 1 ? "W' = W + Σ s·BA" : "W' = W + s·BA";
}
