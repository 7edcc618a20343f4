import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { downloadBaseCommand } from '../hub/downloadBase';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askBase } from './baseStep';
import { DEFAULT_RANK } from '../setup/pricedChoices';
import { askRank, askTargets } from '../setup/costSteps';
import { askDataset } from './datasetStep';
import { askFile, recipeFolder } from './fileStep';
import { runSteps } from '../setup/steps';
import type { TrainState } from '../setup/trainState';
import { recipeText, writeRecipe } from '../setup/writeRecipe';

const LAST_BASE = 'lora.lastBase';

/**
 * Asks what to train, writes the recipe and opens it; returns its path. Undefined: cancelled.
 *
 * @throws LoraError('usage') when no folder is open; LoraError('disk') when the recipe cannot be
 *   written.
 */
export async function trainAdapter({
  context,
  errors,
  inspections,
  jobs,
}: Pick<Services, 'context' | 'errors' | 'inspections' | 'jobs'>): Promise<string | undefined> {
  if (!vscode.workspace.workspaceFolders?.length) {
    throw new LoraError('usage', t('No folder is open.'), {
      fix: t(
        'Open the folder that contains your examples. The recipe and its runs are stored in it.',
      ),
    });
  }
  const memory = context.globalState;
  const baseQuestion = {
    errors,
    inspections,
    lastUsed: memory.get<string>(LAST_BASE),
    download: () => downloadBaseCommand({ jobs, secrets: context.secrets }),
  };
  const answers = await runSteps<TrainState>(
    [
      (state, first) => askBase(state, first, baseQuestion),
      (state, first) => askDataset(state, first, inspections),
      askRank,
      askTargets,
      askFile,
    ],
    { base: null, dataset: null, r: DEFAULT_RANK, target_modules: 'all-linear', file: null },
  );
  if (!answers) return undefined;
  await memory.update(LAST_BASE, answers.base!.path);
  const file = await write(answers);
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  return file;
}

async function write({ base, dataset, r, target_modules, file }: TrainState): Promise<string> {
  const target = file ?? path.join(recipeFolder(dataset!.path), 'lora.json');
  const text = recipeText(
    {
      task: dataset!.task,
      base: base!.path,
      dataset: dataset!.path,
      validation: dataset!.validation,
      r,
      target_modules,
    },
    path.dirname(target),
  );
  await writeRecipe(target, text);
  return target;
}
