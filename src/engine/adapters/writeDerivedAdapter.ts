import path from 'node:path';
import { moduleNames } from '../../formats/architecture/modules';
import type { BaseModel } from '../../formats/baseModel';
import { hubNameOfPath } from '../../formats/hub/hubName';
import {
  isLocalPath,
  publishedBase,
  publishedNamed,
  withoutFolders,
} from '../../formats/hub/publishedBase';
import { createFolder } from '../../common/atomicWrite';
import { derivedCard } from '../../formats/peft/card';
import { isOfPipeline } from '../../formats/diffusion/spellings';
import { writeDiffusersAdapter } from '../../formats/diffusion/write';
import { writeKohyaAdapter } from '../../formats/kohya/write';
import { withModelNames } from '../../formats/peft/modelNames';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import { writePeftAdapter } from '../../formats/peft/write';
import type { Adapter } from '../../lora/adapter';
import { isOnExpert } from '../../lora/experts';
import { exactTargets, type Selection } from '../../lora/exactTargets';
import { LoraError } from '../../shared/errors';
import { clearUnfinished } from '../../common/unfinished';
import { checkOutput } from '../outputPath';

/** Where a derived adapter comes from. */
export interface Derivation {
  /** The adapters or models that it was made from. */
  readonly sources: readonly string[];
  /** How it was made: the title of its model card. */
  readonly title: string;
  /** Its base, if it is open. */
  readonly base: BaseModel | null;
  /** The selections of modules of the adapters that it was made from. */
  readonly given: readonly Selection[];
  /** Its task and labels; those of the first source, an adapter, if left out. */
  readonly facts?: Pick<AdapterTask, 'task' | 'labels'> & Partial<Pick<AdapterTask, 'num_labels'>>;
}

/**
 * Writes an adapter that was made from others, as a folder in PEFT's format; one of an image
 * pipeline as a file, if the output is named so.
 * @throws LoraError('usage') when the output exists, or overlaps with one of the sources.
 */
export async function writeDerivedAdapter(
  output: string,
  adapter: Adapter,
  { sources, title, base, given, facts }: Derivation,
): Promise<void> {
  refuseExperts(adapter, sources);
  await checkOutput(output, sources);
  await clearUnfinished(output);
  if (output.endsWith('.safetensors')) return writePipelineFile(output, adapter);
  const { task, labels, num_labels } = facts ?? (await readAdapterTask(sources[0]!));
  const named = withBaseName(adapter, base);
  const published = base
    ? { ...publishedBase(base), name_or_path: named.config.base_model_name_or_path! }
    : publishedNamed(named.config.base_model_name_or_path);
  const card = derivedCard({
    task,
    base: published,
    num_labels: num_labels ?? labels?.names.length ?? 0,
    title,
    sources: sources.map(sourceName),
  });
  const short = withShortTargets(named, base, given);
  const complete = base ? withModelNames(short, base.spec) : short;
  await writePeftAdapter(
    output,
    complete,
    { task: task ?? 'image_cls', labels, card },
    createFolder,
  );
}

/** A file with the names that the modules have: kohya's, else Diffusers', which also has DoRA. */
async function writePipelineFile(output: string, adapter: Adapter): Promise<void> {
  const { modules, trained } = adapter;
  if (!isOfPipeline(adapter) || trained.length > 0)
    throw new LoraError('usage', 'Only an adapter of an image model can be written as a file.', {
      place: { file: output },
      fix: 'Name a folder, and convert it to a file of kohya (lora convert --to kohya).',
    });
  const isKohya = modules.every((m) => m.path.startsWith('lora_') && !m.magnitude);
  await (isKohya ? writeKohyaAdapter : writeDiffusersAdapter)(output, adapter);
}

/** @throws LoraError('adapter') for target_parameters, whose names other settings do not select */
function refuseExperts(adapter: Adapter, [source]: readonly string[]): void {
  if (!adapter.modules.some(isOnExpert)) return;
  throw new LoraError('adapter', 'An adapter of experts cannot be made into another adapter.', {
    ...(source !== undefined && { place: { file: source } }),
    fix: 'Train on it or merge it into its base.',
  });
}

/** The adapter with its base's name on the Hub where that is known; else with a local path. */
export function withBaseName(adapter: Adapter, base: BaseModel | null): Adapter {
  const { config } = adapter;
  const own = config.base_model_name_or_path;
  // the name of a .gguf adapter's base may be only that of its folder
  const isOfFolder = base !== null && own === withoutFolders(base.path);
  const isPublic = own !== null && own !== '' && !isLocalPath(own) && !isOfFolder;
  const hub = base?.hub ?? (isPublic || own === null ? null : hubNameOfPath(own));
  const place = isOfFolder ? base.path : (own ?? base?.path ?? null);
  const name = hub ?? (isPublic ? own : place);
  return { ...adapter, config: { ...config, base_model_name_or_path: name } };
}

function withShortTargets(
  adapter: Adapter,
  base: BaseModel | null,
  given: readonly Selection[],
): Adapter {
  const targets = exactTargets({
    chosen: adapter.modules.map((m) => m.path),
    all: base ? moduleNames(base.spec) : null,
    given: [...given, ...unionOf(given)],
  });
  return { ...adapter, config: { ...adapter.config, ...targets } };
}

/** All names that the adapters list, where they select modules by nothing else. */
function unionOf(given: readonly Selection[]): Selection[] {
  const lists = given.flatMap(({ target_modules: names, ...others }) =>
    typeof names !== 'string' && Object.values(others).every((value) => value === null)
      ? [names]
      : [],
  );
  if (lists.length < Math.max(1, given.length)) return [];
  return [
    {
      target_modules: lists.flat(),
      exclude_modules: null,
      layers_to_transform: null,
      layers_pattern: null,
    },
  ];
}

/** The folders that every run has in them. */
const GENERIC = /^(?:adapter|best|model|step-\d+)$/;

/** A source's name without its place on this disk. */
function sourceName(source: string): string {
  const cached = hubNameOfPath(source);
  if (cached !== null) return cached;
  const absolute = path.resolve(source);
  const name = path.basename(absolute);
  return GENERIC.test(name) ? `${path.basename(path.dirname(absolute))}/${name}` : name;
}
