import { rowsOf } from '../setup/rowCount';
import * as vscode from 'vscode';
import { targetsFor } from '../../lora/selection';
import { matchTargets } from '../../lora/targets';
import { parseRecipe } from '../../shared/recipeFile';
import { withRank } from '../../shared/pages/configure/withRank';
import { t } from '../text/l10n';
import { askRank, askTargets } from '../setup/costSteps';
import type { Services } from '../services';
import { readBaseFacts, recipeOfBase } from '../setup/costs';
import { readDatasetFacts } from '../setup/datasetFacts';
import { batchOf } from '../setup/forecast';
import { runSteps } from '../setup/steps';
import type { TrainState } from '../setup/trainState';
import { usualRank } from '../../shared/usualRank';
import { editRecipe } from './editRecipe';
import { withChoice } from './recipeEdits';

/**
 * Asks for rank and targets by quick picks that show the costs, and writes them to the recipe.
 *
 * @throws LoraError when the recipe or its base cannot be read, or the recipe cannot be saved.
 */
export async function pickRank(
  { inspections, jobs }: Pick<Services, 'inspections' | 'jobs'>,
  recipe: vscode.Uri,
): Promise<void> {
  const document = await vscode.workspace.openTextDocument(recipe);
  const read = parseRecipe(document.getText(), recipe.fsPath);
  const { lora } = read;
  const base = await readBaseFacts(inspections, read.base, recipeOfBase(read));
  const rows = await rowsOf(inspections, read.dataset).catch(() => null);
  const before = {
    base: { ...base, batch: batchOf(base, read, null) },
    dataset: null,
    columns: {},
    replay: null,
    priced: readDatasetFacts(jobs, read).then((facts) => ({
      facts,
      base: { ...base, batch: batchOf(base, read, facts) },
    })),
    r: lora.r,
    recommended: usualRank(rows),
    target_modules: lora.target_modules,
    kept: null,
    file: null,
    start: false,
  };
  const answers = await runSteps<TrainState>(
    [
      (state, first) => askRank(state, first, { title: t('Rank'), step: [1, 2] }),
      (state, first) => askTargets(state, first, { title: t('Target Modules'), step: [2, 2] }),
    ],
    before,
  );
  if (!answers) return;
  const settings = withRank(lora, answers.r);
  const isUnchanged =
    JSON.stringify(answers.target_modules) === JSON.stringify(lora.target_modules);
  const chosen = matchTargets(base.modules, { target_modules: answers.target_modules }).matched;
  await editRecipe(recipe, (text) =>
    withChoice(text, parseRecipe(text, recipe.fsPath).lora, {
      settings,
      targets: isUnchanged ? null : targetsFor(base.modules, new Set(chosen.map((m) => m.path))),
    }),
  );
  await vscode.window.showTextDocument(document, { preview: false });
}
