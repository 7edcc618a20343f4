import * as vscode from 'vscode';
import { LoraError, type Problem } from '../../shared/errors';
import type { Launcher } from '../engine/launcher';
import type { NewRun } from '../queue/runQueue';
import type { Jobs } from '../jobs/jobs';
import { NO_NOTES, writeNotes } from '../runs/runNotes';
import { t } from '../text/l10n';
import type { RecipeDiagnostics } from './diagnostics';

/** Checks recipes and starts runs of them; marks what is wrong with them in their editors. */
export class RecipeRunner {
  constructor(
    private readonly diagnostics: RecipeDiagnostics,
    private readonly launcher: Launcher,
    private readonly jobs: Pick<Jobs, 'ask'>,
  ) {}

  /**
   * Saves the recipe if it has unsaved changes and checks it with its data, so that a training run
   * that would stop at once leaves no run; returns its path.
   *
   * @throws LoraError('recipe') with every problem found; LoraError('disk') if it cannot be saved.
   */
  async check(recipe: vscode.Uri): Promise<string> {
    const file = recipe.fsPath;
    const document = await vscode.workspace.openTextDocument(recipe);
    if (document.isDirty && !(await document.save()))
      throw new LoraError('disk', t('The recipe cannot be saved.'), { place: { file } });
    const text = document.getText();
    const { checkForRun } = await import('./checkForEditor');
    const own = await checkForRun(text, file);
    const { checkData } = await import('./checkData');
    const problems = own.length > 0 ? own : await checkData(text, file, this.jobs);
    if (problems.length === 0) return file;
    this.diagnostics.show(problems);
    throw new LoraError('recipe', summary(problems, file), { place: { file }, problems });
  }

  /**
   * Checks a recipe and starts a run of it, which is shown on a dashboard. False: the user declined
   * to install a runtime.
   *
   * @throws LoraError as `check` and `Launcher.startRecipe` do.
   */
  async run(recipe: vscode.Uri): Promise<boolean> {
    const file = await this.check(recipe);
    this.diagnostics.clear();
    try {
      return (await this.launcher.startRecipe(file)) !== undefined;
    } catch (error) {
      if (error instanceof LoraError) this.diagnostics.show(error.locatedProblems());
      throw error;
    }
  }

  /**
   * Starts a run from the queue without showing it. False: the user declined to install a runtime.
   *
   * @throws LoraError as `check` and `Launcher.startRecipe` do.
   */
  async runQueued({ recipe, root, name, on }: NewRun): Promise<boolean> {
    const file = await this.check(vscode.Uri.file(recipe));
    const options = { root, show: false };
    const dir = on
      ? await this.launcher.startOn(on.target, file, options)
      : await this.launcher.startRecipe(file, options);
    if (dir === undefined) return false;
    if (name !== undefined) await writeNotes(dir, { ...NO_NOTES, name });
    return true;
  }
}

function summary(problems: readonly Problem[], file: string): string {
  const ofData = problems.every(({ place }) => place !== undefined && place.file !== file);
  if (ofData) return t('The data has {0} {0|error|errors}.', problems.length);
  return problems.length === 1
    ? t('The recipe has an error.')
    : t('The recipe has {0} {0|error|errors}.', problems.length);
}
