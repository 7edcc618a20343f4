import path from 'node:path';
import * as vscode from 'vscode';
import type { CommonSize, StepMemory } from '../../shared/stepMemory';
import { fitsText, sizeFitsText, withImages } from '../setup/costs';
import { formatBytes } from '../text/format';
import { fileName } from '../text/fileName';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';
import { pick, type PickItem } from '../ui/picker';
import { hubEnvironment, withHubToken, type HubServices } from './hubToken';

const DOWNLOADS = 'models';
/** The download does not wait longer for information that is only displayed. */
const MEMORY_TIMEOUT_MS = 15_000;

/** Models that a laptop can train: their names on the Hub and their sizes in MB. */
const SUGGESTIONS = [
  { name: 'HuggingFaceTB/SmolLM2-135M-Instruct', megabytes: 270, licence: 'Apache 2.0' },
  { name: 'HuggingFaceTB/SmolLM2-360M-Instruct', megabytes: 725, licence: 'Apache 2.0' },
  { name: 'Qwen/Qwen2.5-0.5B-Instruct', megabytes: 990, licence: 'Apache 2.0' },
  { name: 'Qwen/Qwen3-0.6B', megabytes: 1500, licence: 'Apache 2.0' },
  { name: 'google/gemma-3-270m-it', megabytes: 540, licence: 'Gemma' },
  { name: 'sentence-transformers/all-MiniLM-L6-v2', megabytes: 91, licence: 'Apache 2.0' },
  { name: 'google/vit-base-patch16-224', megabytes: 350, licence: 'Apache 2.0' },
] as const;

/** How many downloads are offered where no model was found. */
const FIRST = 3;

/** What a suggested model is: "about 257 MiB · Apache 2.0". */
const factsOf = ({ megabytes, licence }: (typeof SUGGESTIONS)[number]): string =>
  `${t('about {0}', formatBytes(megabytes * 1e6))} · ${licence}`;

/** Small models for text to download first: name, size and licence. */
export const firstDownloads = (): readonly {
  readonly name: string;
  readonly description: string;
}[] => SUGGESTIONS.slice(0, FIRST).map((own) => ({ name: own.name, description: factsOf(own) }));

/**
 * Downloads a base model from the Hub into a folder of the workspace; returns its path. Asks for
 * the model unless one is wanted, the folder and, if the Hub requires one, an access token.
 * Undefined: cancelled.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function downloadBaseCommand(
  services: HubServices,
  wanted?: string,
): Promise<string | undefined> {
  const { jobs, secrets } = services;
  const given = wanted ?? (await askName(jobs));
  if (given === undefined) return undefined;
  const { memory, files = [], others = [] } = await memoryOnHub(given, services);
  const offered: readonly GgufFile[] = [...files, ...others];
  const name = offered.length > 1 ? await askGguf(given, offered) : given;
  if (name === undefined) return undefined;
  const chosen = offered.find(({ file }) => name === `${given}/${file}`);
  const own = name === given ? memory : chosen?.memory;
  const output = await askFolder(name, memoryText(own));
  if (output === undefined) return undefined;
  return withHubToken(secrets, async (env) => {
    const args = ['download', name, '--output', output];
    const title = t('Downloading {0}', name);
    return (await jobs.run<{ readonly base: string }>(title, args, false, env))?.base;
  });
}

/** A .gguf file on the Hub. */
interface GgufFile {
  readonly file: string;
  readonly bytes: number;
  /** Not given: it isn't known. */
  readonly memory?: StepMemory;
}

interface MemoryOnHub {
  /** Not given: it isn't known, or not soon. */
  readonly memory?: StepMemory | undefined;
  /** Of a repository of .gguf files alone. */
  readonly files?: readonly GgufFile[];
  /** Further ones, which may be other models. */
  readonly others?: readonly GgufFile[];
}

const memoryText = (memory: StepMemory | undefined): string =>
  memory === undefined || memory.types.length === 0
    ? ''
    : t('Training here: {0}.', withImages(fitsText(memory.types), memory.images));

/** Asks which .gguf file of a repository to download, each with what a training run here needs. */
async function askGguf(
  repository: string,
  files: readonly GgufFile[],
): Promise<string | undefined> {
  const picked = await pick<string>({
    title: t('Download Base Model: File'),
    placeholder: t('Select one of the .gguf files of {0}', repository),
    first: true,
    isDefault: () => false,
    fill: (show) =>
      show(
        files.map(({ file, bytes, memory }) => ({
          label: file,
          description: formatBytes(bytes),
          detail: memoryText(memory),
          value: `${repository}/${file}`,
        })),
      ),
  });
  return picked.kind === 'picked' ? picked.value : undefined;
}

/** What a training run would need of memory, before anything is downloaded. */
async function memoryOnHub(name: string, { jobs, secrets }: HubServices): Promise<MemoryOnHub> {
  try {
    const env = await hubEnvironment(secrets);
    const signal = AbortSignal.timeout(MEMORY_TIMEOUT_MS);
    const asked = ['download', name, '--memory'];
    const { memory, files, others } = await jobs.ask<MemoryOnHub & { readonly memory: StepMemory }>(
      asked,
      signal,
      env,
    );
    return { memory, ...(files && { files }), ...(others && { others }) };
  } catch {
    return {};
  }
}

async function askName(jobs: HubServices['jobs']): Promise<string | undefined> {
  const suggested: PickItem<string>[] = SUGGESTIONS.map((own) => ({
    label: own.name,
    description: factsOf(own),
    value: own.name,
  }));
  const picked = await pick<string>({
    title: t('Download Base Model'),
    placeholder: t("Type owner/model or owner/model/NAME.gguf, as on the model's page"),
    first: true,
    isDefault: () => false,
    fill: async (show) => {
      show(suggested);
      suggested.push(...(await commonSizes(jobs)));
      show(suggested);
    },
    typed: (text) =>
      text.includes('/') && !suggested.some(({ value }) => value === text)
        ? [
            { label: text, description: t('use this name'), value: text, alwaysShow: true },
            ...suggested,
          ]
        : suggested,
  });
  return picked.kind === 'picked' ? picked.value : undefined;
}

/** Models of common sizes, each with what a training run would need of memory here. */
async function commonSizes(jobs: HubServices['jobs']): Promise<PickItem<string>[]> {
  try {
    const signal = AbortSignal.timeout(MEMORY_TIMEOUT_MS);
    const { sizes } = await jobs.ask<{ readonly sizes: readonly CommonSize[] }>(
      ['download', '--sizes'],
      signal,
    );
    return sizes
      .filter(({ model }) => !SUGGESTIONS.some(({ name }) => name === model))
      .map((size) => ({ label: size.model, detail: sizeFitsText(size), value: size.model }));
  } catch {
    return [];
  }
}

/** The name of a model without its owner. */
const modelOf = (name: string) => /^(?:https?:\/\/[^/]+\/)?[^/]+\/([^/]+)/.exec(name)?.[1] ?? name;

/** An existing folder is accepted: an interrupted download in it is continued. */
async function askFolder(name: string, memory: string): Promise<string | undefined> {
  const [root] = vscode.workspace.workspaceFolders ?? [];
  const value = path.join(root?.uri.fsPath ?? '', DOWNLOADS, fileName(modelOf(name)));
  return askText({
    title: t('Download Base Model: Folder'),
    value,
    prompt: [memory, t('An interrupted download in this folder is continued.')]
      .filter(Boolean)
      .join(' '),
    validate: (typed) => (path.isAbsolute(typed) ? undefined : t('Enter an absolute path.')),
  });
}
