import { describeDataset } from '../../shared/datasetSources';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { openDataset } from '../../data/dataset/dataset';
import { throwErrors } from '../../data/dataset/problems';
import { ROW_SETTINGS } from '../../data/rows/settings';
import { openBase, targetableModules } from '../../formats/openBase';
import { hasExperts } from '../../formats/architecture/modules';
import type { VisionSpec } from '../../formats/architecture/spec';
import { visionParameters } from '../../formats/architecture/visionTensors';
import { detectAdapter } from '../../formats/adapterFormat';
import { isPipelineBase } from '../../formats/diffusion/base';
import { CONFIG } from '../../formats/huggingface';
import { CONFIG_FILE } from '../../formats/peft/fileNames';
import { hasWeights } from '../../formats/peft/files';
import type { BaseModel } from '../../formats/baseModel';
import { MLX_WEIGHTS } from '../../formats/mlx/read';
import { effectiveState } from '../../formats/run/effectiveState';
import { readEngineRecord } from '../../formats/run/engineRecord';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import type { TargetableModule } from '../../lora/adapter';
import { countTrainable } from '../../lora/count';
import { matchTargets } from '../../lora/targets';
import { LoraError, type Problem } from '../../shared/errors';
import { methodOf, RUN_FILES, type RunRecord, type RunState } from '../../shared/run';
import { readRecord } from '../run/runFolder';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { optional } from './options';
import { anyText } from './optionValues';
import { noteAbove, withQuietProgress } from './progress';
import { describeWorse, groupDigits, percentage } from '../describe';
import { machineOfProcessor } from '../model/machine';
import { mostPatches } from '../../data/images/chatImages';
import { usualMemory } from '../../formats/architecture/usualMemory';
import { EXAMPLE_RANK } from '../../shared/usualBatch';
import { describeStepMemory } from '../training/stepMemoryText';
import { inspectAdapter } from './inspectAdapter';
import { inspectPipeline } from './inspectPipeline';
import { kindOf } from './moduleKinds';
import { inspectRecipe, type Report } from './inspectRecipe';
import {
  countDtypes,
  ggufKindOf,
  hasFactors,
  inspectTensors,
  isRecipeFile,
} from './inspectTensors';
import { isLayersModelFile } from '../../formats/layersModel/file';
import { inspectLayers } from './layersModel';
import { shellQuote } from '../../common/shellQuote';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

type Inspector = (
  file: string,
  onProgress: (fraction: number) => void,
  info: (text: string) => void,
) => Promise<Report>;

/** An adapter without its base. */
const inspectAlone: Inspector = (file) => inspectAdapter(file, null);

/** lora inspect. */
export const inspectCommand = defineCommand({
  name: 'inspect',
  endedBySignals: true,
  summary: 'Describes a base, an adapter, a run, a dataset or a recipe.',
  forms: [
    form({
      positionals: { path: { valueName: 'PATH', help: 'the file or folder to describe' } },
      options: {
        base: optional(anyText, 'MODEL', 'of an adapter: the base that it is checked against'),
      },
      run: async ({ positionals, options: { base } }, context) => {
        const file = path.resolve(positionals.path);
        const inspect = await inspectorOf(file);
        if (base !== null && inspect !== inspectAlone) {
          throw new LoraError('usage', '--base is for adapters.', {
            place: { file },
            fix: 'Leave out --base.',
          });
        }
        const { facts, lines } = await withQuietProgress(context, 'reading', (report) =>
          base === null ? inspect(file, report, noteAbove(context)) : inspectAdapter(file, base),
        );
        printResult(context, { path: file, ...facts }, () => joinLines(lines));
        return 0;
      },
    }),
  ],
});

async function inspectorOf(file: string): Promise<Inspector> {
  const found = await stat(file).catch(() => null);
  if (!found) {
    throw new LoraError('usage', 'There is no such file or folder.', { place: { file } });
  }
  if (/(?:^|[\\/.])lora\.json$/.test(file)) {
    return inspectRecipe;
  }
  return found.isDirectory() ? folderInspector(file) : fileInspector(file);
}

async function folderInspector(folder: string): Promise<Inspector> {
  const has = (name: string) =>
    stat(path.join(folder, name)).then(
      () => true,
      () => false,
    );
  if (await has(RUN_FILES.record)) {
    return inspectRun;
  }
  if ((await has(CONFIG_FILE)) || (await has(MLX_WEIGHTS)) || (await hasWeights(folder))) {
    return inspectAlone;
  }
  if (await isPipelineBase(folder)) {
    return inspectPipeline;
  }
  if (await has(CONFIG)) {
    return inspectBase;
  }
  const isAdapter = (await readdir(folder)).some((name) => /^adapters?[._]/.test(name));
  return detectAdapter(folder).then(
    () => inspectAlone,
    () => (isAdapter ? inspectAlone : inspectBase),
  );
}

/** Datasets, and other kinds of files with rows, which are refused by name. */
const DATA_FILE =
  /\.(?:jsonl?|ndjson|csv|tsv|txt|parquet|arrow|feather|xlsx?|sqlite3?|db|pdf|html?|xml|gz|zip|zst|bz2|xz)$/i;

async function fileInspector(file: string): Promise<Inspector> {
  if (file.endsWith('.json') && (await isRecipeFile(file))) {
    return inspectRecipe;
  }
  if (await isLayersModelFile(file)) {
    return inspectLayers;
  }
  if (DATA_FILE.test(file)) {
    return inspectDataset;
  }
  if (file.endsWith('.safetensors')) {
    if (await hasFactors(file)) return inspectAlone;
    return (await isPipelineBase(file)) ? inspectPipeline : inspectTensors;
  }
  if (!file.endsWith('.gguf')) {
    return inspectBase;
  }
  const kind = await ggufKindOf(file);
  if (kind === 'adapter') {
    return inspectAlone;
  }
  return kind === 'model' ? inspectBase : inspectTensors;
}

async function inspectBase(file: string): Promise<Report> {
  const base = await openBase(file);
  try {
    return baseReport(base, await mostPatches(base));
  } finally {
    await base.close();
  }
}

function baseReport(base: BaseModel, image_patches: number | undefined): Report {
  const { name, format, parameters, config } = base;
  const modules = targetableModules(base);
  const linear = matchTargets(modules, { target_modules: 'all-linear' }).matched;
  const { trainable, full } = countTrainable(linear, EXAMPLE_RANK);
  const share = percentage(trainable / parameters);
  const { spec, weights, missing } = base;
  const memory = usualMemory(
    { spec, parameters, weights, missing, image_patches },
    machineOfProcessor(),
  );
  const { vision } = base.spec;
  return {
    facts: {
      type: 'base',
      name,
      format,
      architecture: config['model_type'],
      parameters,
      dtypes: countDtypes(base.weights.tensors),
      modules,
      trainable_at_r8: trainable,
      full_at_r8: full,
      ...(vision && { image_tower_parameters: visionParameters(vision) }),
      memory,
    },
    lines: [
      `${name}: ${String(config['model_type'])}, ${groupDigits(parameters)} parameters, ${format}`,
      'Target modules (out x in) and the parameters of rank r in each, r·(in + out) instead of in·out:',
      ...moduleTable(modules),
      `${hasExperts(base.spec) ? 'All linear ones of these' : 'all-linear'} at r = ${EXAMPLE_RANK}: ${groupDigits(trainable)} trainable parameters instead of ${groupDigits(full)} (${share} of the model)`,
      ...(vision ? [describeVision(vision)] : []),
      ...describeStepMemory(memory, ' and these trained'),
    ],
  };
}

const describeVision = (vision: VisionSpec): string =>
  `Images in chats: read by a vision encoder of ${groupDigits(visionParameters(vision))} parameters, which trains only where its layers are adapted`;

/** A line for each kind of module: its name, how many there are, their shape and their cost. */
function moduleTable(modules: readonly TargetableModule[]): string[] {
  const groups = new Map<string, TargetableModule[]>();
  for (const m of modules) {
    const key = `${kindOf(m.path)} ${shapeOf(m)}`;
    groups.set(key, [...(groups.get(key) ?? []), m]);
  }
  const width = Math.max(...modules.map((m) => kindOf(m.path).length));
  return [...groups.values()].map((group) => {
    const first = group[0]!;
    const { in_features, out_features } = first;
    const kind = kindOf(first.path).padEnd(width);
    const number = String(group.length).padStart(4);
    const cost = `${groupDigits(in_features + out_features)}·r instead of ${groupDigits(in_features * out_features)}`;
    return `  ${kind} ${number} x ${shapeOf(first).padEnd(14)} ${cost}`;
  });
}

const shapeOf = ({ in_features, out_features }: TargetableModule) =>
  `${out_features} x ${in_features}`;

const RESUMABLE: ReadonlySet<RunState> = new Set(['stopped', 'interrupted', 'failed']);

async function inspectRun(folder: string): Promise<Report> {
  const [engine, remote] = [await readEngineRecord(folder), await readRemoteRecord(folder)];
  const recorded = await readRecord(folder);
  const record = { ...recorded, state: effectiveState(recorded, engine, Date.now(), remote) };
  const { name, state, result, recipe, total_steps, error } = record;
  const method = methodOf(recipe) === 'full' ? 'full fine-tuning' : `r = ${recipe.lora.r}`;
  const lines = [
    `Run ${name}: ${state}, step ${result.steps}${total_steps === null ? '' : ` of ${total_steps}`}`,
    `base ${recipe.base}, dataset ${describeDataset(recipe.dataset)}, ${method}`,
    ...(remote === null
      ? []
      : [`on ${remote.target.name} (${remote.target.kind}, ${remote.target.place})`]),
    ...describeLosses(result),
  ];
  if (result.adapter !== null) {
    lines.push(`adapter ${path.join(folder, result.adapter)}`);
  }
  if (result.model) {
    lines.push(`model ${path.join(folder, result.model)}`);
  }
  if (RESUMABLE.has(state)) {
    lines.push(`Resume with: lora train --resume ${shellQuote(folder)}`);
  }
  if (error) {
    lines.push(...LoraError.deserialize(error).describe().split('\n'));
  }
  return { facts: { type: 'run', ...record }, lines };
}

function describeLosses(result: RunRecord['result']): string[] {
  const { last_loss, last_validation_loss, best_step, best_validation_loss, best_metric } = result;
  const before = result.first_validation_loss ?? null;
  const losses = `loss ${formatLoss(last_loss)}, validation loss ${formatLoss(last_validation_loss)}`;
  if (best_step === null || best_validation_loss === null) {
    return [losses];
  }
  const value = best_metric
    ? `${best_metric.name} ${formatLoss(best_metric.value)}`
    : formatLoss(best_validation_loss);
  const best = `${losses}, best ${value} at step ${best_step}`;
  return !best_metric && before !== null && before < best_validation_loss
    ? [best, describeWorse(before)]
    : [best];
}

const formatLoss = (loss: number | null | undefined): string => loss?.toFixed(4) ?? '–';

async function inspectDataset(
  file: string,
  onProgress: (fraction: number) => void,
): Promise<Report> {
  const kinds: Record<string, number> = {};
  const { rows, problems } = await openDataset(
    file,
    ROW_SETTINGS,
    ({ kind }) => {
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    },
    (done, size) => onProgress(done / size),
  );
  throwErrors(problems);
  const counts = Object.entries(kinds).map(([kind, count]) => `${groupDigits(count)} ${kind}`);
  return {
    facts: { type: 'dataset', examples: rows, kinds, problems },
    lines: [
      `${countOf(rows, 'example', groupDigits)}: ${counts.join(', ')}`,
      ...problems.map(describeRowProblem),
    ],
  };
}

function describeRowProblem({ place, message }: Problem): string {
  if (place?.row !== undefined) return `row ${place.row}: ${message}`;
  return place?.line === undefined ? message : `line ${place.line}: ${message}`;
}
