import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readDataset } from '../../data/dataset/dataset';
import { openBase, targetableModules } from '../../formats/openBase';
import { detectAdapter, isGgufAdapter, readAdapter } from '../../formats/adapterFormat';
import { readGgufAdapter } from '../../formats/gguf/adapter';
import { MLX_WEIGHTS } from '../../formats/mlx/read';
import { CONFIG_FILE } from '../../formats/peft/read';
import { countTrainable } from '../../lora/count';
import { rankKeepingEnergy } from '../../lora/resize';
import { matchTargets } from '../../lora/targets';
import { LoraError } from '../../shared/errors';
import { methodOf, RUN_FILES } from '../../shared/run';
import { readRecord } from '../run/runFolder';
import type { Context } from './context';
import { inspectRecipe } from './inspectRecipe';
import { readOptions, usageError } from './options';
import type { Report } from './report';

export const INSPECT_USAGE = 'lora inspect PATH [--json]';

/** Says what a path holds: a base, an adapter, a run, a dataset or a recipe. */
export async function inspect(args: readonly string[], context: Context): Promise<number> {
  const { positionals } = readOptions(args, {}, INSPECT_USAGE);
  const [target] = positionals;
  if (target === undefined || positionals.length > 1)
    throw usageError('Name one path', INSPECT_USAGE);
  const file = path.resolve(target);
  const { facts, words } = await (await kindOf(file))(file);
  context.print(context.json ? JSON.stringify({ kind: 'result', path: file, ...facts }) : words);
  return 0;
}

async function kindOf(file: string): Promise<(file: string) => Promise<Report>> {
  const found = await stat(file).catch(() => null);
  if (!found) throw new LoraError('usage', 'There is no such file or folder.', { place: { file } });
  if (/(?:^|[\\/.])lora\.json$/.test(file)) return inspectRecipe;
  if (!found.isDirectory()) return ofFile(file);
  const has = (name: string) =>
    stat(path.join(file, name)).then(
      () => true,
      () => false,
    );
  if (await has(RUN_FILES.record)) return inspectRun;
  if ((await has(CONFIG_FILE)) || (await has(MLX_WEIGHTS))) return inspectAdapter;
  return inspectBase;
}

async function ofFile(file: string): Promise<(file: string) => Promise<Report>> {
  if (/\.jsonl?$/.test(file)) return inspectDataset;
  return file.endsWith('.safetensors') || (file.endsWith('.gguf') && (await isGgufAdapter(file)))
    ? inspectAdapter
    : inspectBase;
}

const count = (n: number) => n.toLocaleString('en-US');

async function inspectBase(file: string): Promise<Report> {
  const base = await openBase(file);
  try {
    const modules = targetableModules(base);
    const linear = matchTargets(modules, { target_modules: 'all-linear' }).matched;
    const { trainable, full } = countTrainable(linear, 8);
    const kinds = groupByKind(modules);
    const facts = {
      type: 'base',
      name: base.name,
      format: base.format,
      architecture: base.config['model_type'],
      parameters: base.parameters,
      modules,
      trainable_at_r8: trainable,
      full_at_r8: full,
    };
    const width = Math.max(...kinds.map(({ kind }) => kind.length));
    const rows = kinds.map(
      ({ kind, shape, number, cost }) =>
        `  ${kind.padEnd(width)} ${String(number).padStart(4)} x ${shape.padEnd(14)} ${cost}`,
    );
    const words = [
      `${base.name}: ${String(base.config['model_type'])}, ${count(base.parameters)} parameters, ${base.format}`,
      'Modules that can be targeted (out x in), and what rank r costs in each, r·(in + out) instead of in·out:',
      ...rows,
      `all-linear at r = 8: ${count(trainable)} trainable parameters instead of ${count(full)} (${((100 * trainable) / base.parameters).toFixed(2)} % of the model)`,
    ].join('\n');
    return { facts, words };
  } finally {
    await base.close();
  }
}

function groupByKind(modules: ReturnType<typeof targetableModules>) {
  const groups = new Map<string, { kind: string; shape: string; number: number; cost: string }>();
  for (const m of modules) {
    const kind = m.path.slice(m.path.lastIndexOf('.') + 1);
    const key = `${kind} ${m.out_features} x ${m.in_features}`;
    const group = groups.get(key) ?? {
      kind,
      shape: `${m.out_features} x ${m.in_features}`,
      number: 0,
      cost: `${count(m.in_features + m.out_features)}·r instead of ${count(m.in_features * m.out_features)}`,
    };
    groups.set(key, { ...group, number: group.number + 1 });
  }
  return [...groups.values()];
}

async function inspectAdapter(place: string): Promise<Report> {
  const found = await detectAdapter(place);
  const { adapter, warnings } =
    found.format === 'gguf'
      ? await readGgufAdapter(found.path, 'as stored')
      : await readAdapter(found, null);
  const { config, modules } = adapter;
  const parameters = modules.reduce((sum, m) => sum + m.A.length + m.B.length, 0);
  const [rank_90, rank_99] = [rankKeepingEnergy(adapter, 0.9), rankKeepingEnergy(adapter, 0.99)];
  const facts = {
    type: 'adapter',
    format: found.format,
    r: config.r,
    rank_90,
    rank_99,
    lora_alpha: config.lora_alpha,
    use_rslora: config.use_rslora,
    base: config.base_model_name_or_path,
    parameters,
    modules: modules.map((m) => ({ path: m.path, r: m.r, scaling: m.scaling })),
    warnings,
  };
  const kinds = [...new Set(modules.map((m) => m.path.split('.').at(-1)))].join(', ');
  const words = [
    `LoRA adapter (${found.format}): r = ${config.r}, lora_alpha = ${config.lora_alpha}${config.use_rslora ? ', rsLoRA' : ''}, ${modules.length} modules (${kinds}), ${count(parameters)} parameters`,
    `for ${config.base_model_name_or_path ?? 'a base that it does not name'}`,
    `rank ${rank_90} in every module would keep 90 % of the update, ${rank_99} would keep 99 %`,
    ...warnings.map((w) => w.message),
  ].join('\n');
  return { facts, words };
}

async function inspectRun(folder: string): Promise<Report> {
  const record = await readRecord(folder);
  const { result, recipe } = record;
  const words = [
    `Run ${record.name}: ${record.state}, step ${result.steps}${record.total_steps === null ? '' : ` of ${record.total_steps}`}`,
    `base ${recipe.base}, dataset ${recipe.dataset}, ${methodOf(recipe) === 'full' ? 'full tuning' : `r = ${recipe.lora.r}`}`,
    `loss ${result.last_loss?.toFixed(4) ?? '–'}, validation loss ${result.last_validation_loss?.toFixed(4) ?? '–'}${result.best_step === null ? '' : `, best ${result.best_validation_loss?.toFixed(4) ?? '–'} at step ${result.best_step}`}`,
    ...(result.adapter === null ? [] : [`adapter ${path.join(folder, result.adapter)}`]),
    ...(result.model ? [`model ${path.join(folder, result.model)}`] : []),
    ...(record.error ? [LoraError.deserialize(record.error).describe()] : []),
  ].join('\n');
  return { facts: { type: 'run', ...record }, words };
}

async function inspectDataset(file: string): Promise<Report> {
  const { rows, problems } = await readDataset(file);
  const kinds: Record<string, number> = {};
  for (const { kind } of rows) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const words = [
    `${count(rows.length)} examples: ${Object.entries(kinds)
      .map(([kind, n]) => `${count(n)} ${kind}`)
      .join(', ')}`,
    ...problems.map(
      (p) => `${p.place?.line === undefined ? '' : `line ${p.place.line}: `}${p.message}`,
    ),
  ].join('\n');
  return { facts: { type: 'dataset', examples: rows.length, kinds, problems }, words };
}
