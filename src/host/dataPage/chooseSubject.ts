import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { kindByName } from '../../formats/tables/tableKind';
import { isHubSource, sourceName, sourcesOf } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { browseDataset } from '../hub/browseDataset';
import { chooseHubDataset, fetchHubDataset } from '../hub/hubDataset';
import type { HubSplit } from '../hub/hubSplit';
import { isRecipeName } from '../manifest/ids';
import { readRecipe, recipesNaming } from '../recipe/recipeDatasets';
import type { Services } from '../services';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { pickRow, type PickRow } from '../ui/inputs';
import type { DataSubject } from './subject';

type ChooseServices = Pick<Services, 'context' | 'inspections' | 'jobs'>;

/**
 * What the command was invoked on: a dataset, or a recipe, which names one; else the file of the
 * active editor, else one that the user picks. Of several files, the user picks one. Undefined:
 * cancelled.
 *
 * @throws LoraError('recipe') for a recipe that cannot be read
 */
export async function chooseSubject(
  argument: unknown,
  services: ChooseServices,
): Promise<DataSubject | undefined> {
  const given = argument instanceof vscode.Uri ? argument.fsPath : argument;
  const named = typeof given === 'string' ? given : activeFile();
  if (named === undefined) return pickSubject(services);
  return isRecipeName(named) ? subjectOfRecipe(named, services) : subjectAt(named, services);
}

async function subjectOfRecipe(
  file: string,
  services: ChooseServices,
): Promise<DataSubject | undefined> {
  const recipe = await readRecipe(file);
  if (!recipe)
    throw new LoraError('recipe', t('The recipe cannot be read, so its dataset is not known.'), {
      place: { file },
    });
  const rows = sourcesOf(recipe.dataset).map((source) => ({
    label: path.basename(source.path),
    description: sourceName(source),
    source,
  }));
  const chosen =
    rows.length === 1 ? rows[0] : await pickRow(rows, { placeHolder: t('Select a dataset') });
  if (!chosen) return undefined;
  const { path: named, config, split, rows: first } = chosen.source;
  if (!isHubSource(named)) return subjectAt(named, services, file);
  const { jobs, context } = services;
  const hub = await fetchHubDataset(
    { jobs, secrets: context.secrets },
    { path: named, config, split, rows: first },
  );
  return hub && subjectIn(hub, hub.files, file);
}

/** Of a file or a folder, with the recipe that names it. */
async function subjectAt(
  named: string,
  { inspections }: ChooseServices,
  recipe?: string,
): Promise<DataSubject | undefined> {
  const [found = null] = recipe === undefined ? await recipesNaming(named) : [recipe];
  const isFolder = await stat(named).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (!isFolder) return { file: named, source: null, recipe: found, base: null };
  const files = await inspections.ask('rowFiles', { file: named });
  const paths = files.map((own) => own.path);
  return subjectIn({ path: named, config: null, split: null }, paths, found);
}

/** Of one of the files of a folder or of a dataset on the Hub. */
async function subjectIn(
  source: HubSplit,
  files: readonly string[],
  recipe: string | null,
): Promise<DataSubject | undefined> {
  const { path: named, config, split } = source;
  const rows = await Promise.all(
    files.map(async (file) => ({
      label: path.basename(file),
      description: formatBytes((await stat(file)).size),
      file,
    })),
  );
  const title = path.basename(named);
  const chosen =
    rows.length === 1 ? rows[0] : await pickRow(rows, { title, placeHolder: t('Select a file') });
  if (!chosen) return undefined;
  const { file } = chosen;
  // Train Adapter counts the rows of a dataset on the Hub only where it has one file
  const all = isHubSource(named) ? files : [file];
  const json = JSON.stringify({ path: named, config, split, files: all });
  return { file, source: json, recipe, base: null };
}

function activeFile(): string | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const uri =
    input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom
      ? input.uri
      : undefined;
  if (uri?.scheme !== 'file') return undefined;
  const isDataset = kindByName(uri.fsPath) !== null && !uri.fsPath.endsWith('.json');
  return isDataset || isRecipeName(uri.fsPath) ? uri.fsPath : undefined;
}

interface DatasetRow extends PickRow {
  readonly dataset: { readonly file: string } | 'file' | 'folder' | 'hub';
}

const OTHERS = (): readonly DatasetRow[] => [
  { label: t('Browse…'), icon: 'file', dataset: 'file', alwaysShow: true },
  {
    label: t('Browse for a folder of such files…'),
    icon: 'folder',
    dataset: 'folder',
    alwaysShow: true,
  },
  {
    label: t('Download from the Hugging Face Hub…'),
    icon: 'cloud-download',
    dataset: 'hub',
    alwaysShow: true,
  },
];

async function pickSubject(services: ChooseServices): Promise<DataSubject | undefined> {
  const found = await services.inspections.ask('datasets', {
    folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
  });
  const rows: DatasetRow[] = found
    .filter(({ task }) => task !== 'image_cls')
    .map(({ name, path: file }) => ({ label: name, icon: 'database', dataset: { file } }));
  const placeHolder = t('Select a dataset');
  const chosen = (await pickRow([...rows, ...OTHERS()], { placeHolder }))?.dataset;
  if (chosen === undefined) return undefined;
  if (chosen === 'hub') return pickFromHub(services);
  const file = typeof chosen === 'string' ? await browseDataset(chosen) : chosen.file;
  return file === undefined ? undefined : subjectAt(file, services);
}

async function pickFromHub({ context, jobs }: ChooseServices): Promise<DataSubject | undefined> {
  const hub = await chooseHubDataset({ jobs, secrets: context.secrets });
  if (!hub) return undefined;
  const [recipe = null] = await recipesNaming(hub.path);
  return subjectIn(hub, hub.files, recipe);
}
