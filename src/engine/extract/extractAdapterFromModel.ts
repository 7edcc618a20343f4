import { throwIfCancelled } from '../../common/cancellation';
import { linearsOf } from '../../formats/architecture/layerLinears';
import { modulesOf } from '../../formats/architecture/modules';
import { isPipelineBase } from '../../formats/diffusion/base';
import { openBase } from '../../formats/openBase';
import { publishedBase } from '../../formats/hub/publishedBase';
import { peftAdapter } from '../../formats/importedAdapter';
import type { BaseModel } from '../../formats/baseModel';
import { extractLayer, type ExtractedLayer } from '../../lora/extract';
import { matchTargets } from '../../lora/targets';
import type { TargetableModule } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { writeDerivedAdapter } from '../adapters/writeDerivedAdapter';
import { clearUnfinished } from '../../common/unfinished';
import { checkOutput } from '../outputPath';
import type { Extracted, ExtractOptions } from './extraction';
import { extractFromPipeline } from './extractFromPipeline';
import { differentSettings } from './settings';
import { weightDifference, haveSameShape, otherDifferences, type LeftOut } from './difference';

/**
 * Writes the adapter that best approximates the difference between a base and its fine-tuned model.
 * @throws LoraError when the models do not match, do not differ, or the output exists.
 */
export async function extractAdapterFromModel(options: ExtractOptions): Promise<Extracted> {
  const { base: basePath, tuned: tunedPath, output } = options;
  await checkOutput(output, [basePath, tunedPath]);
  await clearUnfinished(output);
  if (await isPipelineBase(basePath)) return extractFromPipeline(options);
  if (output.endsWith('.safetensors'))
    throw new LoraError('usage', 'Only an adapter of an image model can be written as a file.', {
      place: { file: output },
      fix: 'Name a folder (--output).',
    });
  const base = await openBase(basePath);
  try {
    const tuned = await openBase(tunedPath, { task: base.spec.task });
    try {
      return await extract(base, tuned, options);
    } finally {
      await tuned.close();
    }
  } finally {
    await base.close();
  }
}

async function extract(
  base: BaseModel,
  tuned: BaseModel,
  options: ExtractOptions,
): Promise<Extracted> {
  checkSameArchitecture(base, tuned);
  const targets = targetsIn(base, options.target_modules);
  const layers = await extractLayers(base, tuned, targets, options);
  const targeted = new Set(targets.map((m) => `${m.path}.weight`));
  const left_out = await otherDifferences(base, tuned, targeted, options.signal);
  if (layers.length === 0) {
    throw nothingToExtract(tuned, left_out);
  }
  const adapter = peftAdapter(
    layers.map((layer) => layer.factors),
    publishedBase(base).name_or_path,
  );
  await writeDerivedAdapter(options.output, adapter, {
    sources: [base.path, tuned.path],
    title: `extracted from ${publishedBase(tuned).title}`,
    base,
    given: [],
    facts: { task: base.spec.task, labels: null },
  });
  const squaredError = layers.reduce((sum, layer) => sum + layer.lost ** 2, 0);
  const squaredNorm = layers.reduce((sum, layer) => sum + layer.norm ** 2, 0);
  return {
    modules: layers.map((layer) => ({
      path: layer.factors.path,
      r: layer.factors.r,
      error: layer.lost / layer.norm,
    })),
    error: Math.sqrt(squaredError / squaredNorm),
    left_out,
    settings: differentSettings(base.spec, tuned.spec),
  };
}

/** The layers that differ, each as factors of its target rank. */
async function extractLayers(
  base: BaseModel,
  tuned: BaseModel,
  targets: readonly TargetableModule[],
  { target, signal, onProgress }: ExtractOptions,
): Promise<ExtractedLayer[]> {
  const transposed = new Map(
    base.spec.layers.flatMap(linearsOf).map((linear) => [linear.path, linear.transposed]),
  );
  const layers: ExtractedLayer[] = [];
  for (const [n, module] of targets.entries()) {
    throwIfCancelled(signal);
    const update = {
      ...module,
      transposed: transposed.get(module.path) ?? false,
      data: await weightDifference(base, tuned, `${module.path}.weight`),
    };
    const layer = extractLayer(update, target);
    if (layer) {
      layers.push(layer);
    }
    onProgress((n + 1) / targets.length);
    await new Promise(setImmediate); // lets an abort signal arrive between two layers
  }
  return layers;
}

function nothingToExtract(tuned: BaseModel, leftOut: readonly LeftOut[]): LoraError {
  const problem =
    leftOut.length === 0
      ? 'The two models are the same: there is nothing to extract.'
      : `None of the targeted layers differs. What differs is ${listTensors(leftOut)}.`;
  return new LoraError('base', problem, {
    place: { file: tuned.path },
    fix: 'Choose the model before fine-tuning (--base), and the one after it (--tuned).',
  });
}

function checkSameArchitecture(base: BaseModel, tuned: BaseModel): void {
  const fix = 'Name the model from which the tuned one was trained with --base.';
  const [family, tunedFamily] = [base.spec.family, tuned.spec.family];
  if (family !== tunedFamily) {
    throw new LoraError(
      'base',
      `The models belong to different families, ${family} and ${tunedFamily}.`,
      { place: { file: tuned.path }, fix },
    );
  }
  const different = modulesOf(base.spec).find(
    (m) => m.kind === 'linear' && !m.is_output && !haveSameShape(base, tuned, `${m.path}.weight`),
  );
  if (different) {
    throw new LoraError('base', 'The layer has another shape in the tuned model.', {
      place: { file: tuned.path, tensor: `${different.path}.weight` },
      fix,
    });
  }
}

/** The linear layers to extract. */
function targetsIn(
  base: BaseModel,
  target_modules: string | readonly string[],
): TargetableModule[] {
  const { matched, unmatched } = matchTargets(modulesOf(base.spec), { target_modules });
  const [unknown] = unmatched;
  if (unknown) {
    const hint = unknown.nearest === undefined ? '.' : `; did you mean ${unknown.nearest}?`;
    throw new LoraError('usage', `There is no module ${unknown.name}${hint}`, {
      place: { file: base.path },
    });
  }
  const linear = matched.filter(
    (m) => m.kind === 'linear' && base.weights.tensors.has(`${m.path}.weight`),
  );
  if (linear.length === 0) {
    throw new LoraError(
      'usage',
      'target_modules selects no linear layer that has a weight of its own.',
      { place: { file: base.path } },
    );
  }
  return linear;
}

const MAX_LISTED = 5;

/** The first few tensors, for a message. */
export function listTensors(tensors: readonly LeftOut[]): string {
  const names = tensors
    .slice(0, MAX_LISTED)
    .map(({ name, norm }) => `${name} (${norm === null ? 'shape' : `by ${norm.toPrecision(3)}`})`);
  const more = tensors.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}
