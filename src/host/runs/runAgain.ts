import path from 'node:path';
import * as vscode from 'vscode';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import type { RunRecord } from '../../shared/run';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { writeRecipe } from '../setup/writeRecipe';
import { t } from '../text/l10n';
import { recipePlace } from './recipePlace';
import { recipeDifference } from './recipeDifference';
import type { RunSummary } from './run';

/**
 * Repeats a run: by its recipe file when that has not changed since, otherwise by a new file with
 * the recipe as run.json recorded it.
 *
 * @throws LoraError('run') when run.json cannot be read, and as `startOrQueue` does.
 */
export async function runAgain(
  run: RunSummary,
  services: Pick<Services, 'queue' | 'store' | 'recipes'>,
): Promise<void> {
  const record = services.store.record(run.dir);
  if (!record)
    throw new LoraError(
      'run',
      t('{0} cannot be repeated because its run.json cannot be read.', run.name),
      {
        place: { file: run.dir },
      },
    );
  const place = await recipePlace(
    run.dir,
    record.recipe_path,
    (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath),
  );
  if (place.file !== null && (await isUnchanged(place.file, record))) {
    await startOrQueue(services, vscode.Uri.file(place.file));
    return;
  }
  const file = path.join(place.folder, `${run.id}.lora.json`);
  await writeRecipe(file, `${JSON.stringify(record.recipe, null, 2)}\n`);
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  await startOrQueue(services, vscode.Uri.file(file));
}

async function isUnchanged(file: string, { recipe }: RunRecord): Promise<boolean> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }).catch(() => null);
  const current = text === null ? null : checkRecipe(text, file).recipe;
  return current !== null && recipeDifference(recipe, current).length === 0;
}
