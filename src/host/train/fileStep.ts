import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { t } from '../text/l10n';
import { isRecipeName } from '../manifest/ids';
import { askText } from '../ui/inputs';
import { pick } from '../ui/picker';
import type { Outcome } from '../setup/steps';
import type { TrainState } from '../setup/trainState';
import { freeRecipeName, isTaken } from '../setup/writeRecipe';

/** The folder of a new recipe: the workspace folder of the dataset, else the first one. */
export function recipeFolder(dataset: string): string {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return (vscode.workspace.getWorkspaceFolder(vscode.Uri.file(dataset)) ?? folders[0])!.uri.fsPath;
}

/** Asks where to save the recipe if lora.json exists: nothing is overwritten silently. */
export async function askFile(state: TrainState, first: boolean): Promise<Outcome<TrainState>> {
  const dataset = state.dataset!.path;
  const folder = recipeFolder(dataset);
  const taken = new Set((await listFolder(folder).catch(() => [])).map(({ name }) => name));
  const free = freeRecipeName(taken, dataset);
  if (free === 'lora.json') return { kind: 'skip' };
  const picked = await pick<'free' | 'overwrite' | 'ask'>({
    title: t('Train Adapter: Recipe'),
    first,
    placeholder: t('lora.json already exists. Select where to save the recipe'),
    isDefault: (choice) => choice === 'free',
    fill: (show) =>
      show([
        { label: t('Save as {0}', free), description: t('keeps lora.json'), value: 'free' },
        { label: t('Overwrite lora.json'), value: 'overwrite' },
        { label: t('Enter another name…'), value: 'ask' },
      ]),
  });
  if (picked.kind !== 'picked') return picked;
  const names = { free: () => free, overwrite: () => 'lora.json', ask: () => askName(free, taken) };
  const name = await names[picked.value]();
  return name === undefined
    ? askFile(state, first)
    : { kind: 'next', state: { ...state, file: path.join(folder, name) } };
}

const askName = (value: string, taken: ReadonlySet<string>) =>
  askText({
    title: t('Train Adapter: Recipe'),
    value,
    prompt: t('A name that ends in .lora.json'),
    validate: (name) => {
      if (!isRecipeName(name) || path.basename(name) !== name)
        return t('The name must end in .lora.json.');
      return isTaken(taken, name) ? t('{0} already exists.', name) : undefined;
    },
  });
