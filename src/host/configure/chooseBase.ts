import path from 'node:path';
import * as vscode from 'vscode';
import { downloadBaseCommand } from '../hub/downloadBase';
import type { Services } from '../services';
import { relativeTo } from '../setup/relativeTo';
import { t } from '../text/l10n';
import { pickBase } from '../train/baseStep';
import { editRecipe } from './editRecipe';
import { withBase } from './recipeEdits';

/**
 * Asks for a base model and writes it to a recipe.
 *
 * @throws LoraError('recipe') when that cannot be edited.
 */
export async function chooseBase(
  { context, errors, inspections, jobs }: Pick<Services, ChooseServices>,
  recipe: string,
): Promise<void> {
  const { secrets } = context;
  const picked = await pickBase(
    {
      errors,
      inspections,
      lastUsed: undefined,
      download: (name) => downloadBaseCommand({ jobs, secrets }, name),
    },
    { title: t('Choose Base Model'), first: true },
  );
  if (picked.kind !== 'picked') return;
  const base = relativeTo(path.dirname(recipe), picked.value.path);
  await editRecipe(vscode.Uri.file(recipe), (text) => withBase(text, base));
}

type ChooseServices = 'context' | 'errors' | 'inspections' | 'jobs';
