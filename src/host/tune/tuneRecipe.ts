import * as vscode from 'vscode';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { Recipe } from '../../shared/recipe';
import { parseRecipe } from '../../shared/recipeFile';
import { parseVary } from '../../shared/sweep/vary';
import { LoraError } from '../../shared/errors';
import { openPlace } from '../editor/openPlace';
import { askWhereToSweep } from '../queue/sweepPlace';
import { suggestedValues } from '../queue/sweepRuns';
import { chooseRecipe } from '../recipe/chooseRecipe';
import type { Services } from '../services';
import { formatMoment } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { askText, pickRow, pickRows } from '../ui/inputs';
import { notify } from '../ui/messages';
import {
  minutesIn,
  TUNED_KEYS,
  tuneArguments,
  type TuneChoices,
  type TunedKey,
} from './tuneArguments';
import { unfinishedTunes } from './unfinishedTunes';

const FIRST_MINUTES = '30';

/** Asks what to tune and for how long, follows the tune, and offers the recipe that it finds. */
export async function tuneRecipe(services: Services, argument: unknown): Promise<void> {
  const uri = await chooseRecipe(argument);
  if (!uri) return;
  const file = await services.recipes.check(uri);
  const args = await askHow(services, file);
  if (!args) return;
  const found = await services.jobs.follow<{ readonly recipe: string }>(
    t('Tuning {0}', vscode.workspace.asRelativePath(uri)),
    args,
    { needsRuntime: true, onLine: (line) => showTune(services, line) },
  );
  if (!found) return;
  const chosen = await notify('information', t('The tune has found a recipe.'), [
    t('Open Tuned Recipe'),
  ]);
  if (chosen !== undefined) await openPlace({ file: found.recipe });
}

/** The page of a tune shows its runs while they train. */
function showTune({ overlays }: Services, line: Readonly<Record<string, unknown>>): void {
  const { kind, folder } = line;
  if (kind === 'tune' && typeof folder === 'string') overlays.show({ kind: 'sweep', folder });
}

/** The arguments of `lora tune`. Undefined: cancelled. */
async function askHow(services: Services, file: string): Promise<readonly string[] | undefined> {
  const unfinished = await unfinishedTunes(file);
  if (unfinished.length > 0) {
    const rows = [
      { icon: 'add', label: t('New Tune'), description: '', folder: null },
      ...unfinished.map(({ folder, created, minutes, spent }) => ({
        icon: 'debug-continue',
        label: t('Continue the tune of {0}', formatMoment(Date.parse(created), Date.now())),
        description: t(
          '{0} of {1} minutes spent',
          formatNumber(Math.floor(spent / 60)),
          formatNumber(minutes),
        ),
        folder,
      })),
    ];
    const picked = await pickRow(rows, {
      title: t('Tune Recipe'),
      placeHolder: t('A tune of this recipe was interrupted'),
    });
    if (!picked) return undefined;
    if (picked.folder !== null) return ['tune', '--resume', picked.folder];
  }
  const choices = await askChoices(services, file);
  return choices && tuneArguments(file, choices);
}

async function askChoices(services: Services, file: string): Promise<TuneChoices | undefined> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople });
  const recipe = parseRecipe(text, file);
  const answer = await askText({
    title: t('Tune Recipe'),
    value: FIRST_MINUTES,
    prompt: t('How many minutes the tune may take in all.'),
    validate: (value) =>
      minutesIn(value) === undefined ? t('Enter a number of minutes, such as 30.') : undefined,
  });
  const minutes = answer === undefined ? undefined : minutesIn(answer);
  if (minutes === undefined) return undefined;
  const keys = await askKeys(recipe);
  if (!keys || keys.length === 0) return undefined;
  const where = await askWhereToSweep(services);
  if (!where) return undefined;
  const own = {
    'training.learning_rate': recipe.training.learning_rate,
    'lora.r': recipe.lora.r,
  };
  return { minutes, keys, own, on: where.on };
}

async function askKeys(recipe: Recipe): Promise<TuneChoices['keys'] | undefined> {
  const rows = TUNED_KEYS.map(({ key, isUsual }) => ({
    label: key,
    description: isUsual ? t('values are chosen for you') : JSON.stringify(valueOf(recipe, key)),
    key,
    isUsual,
  }));
  const picked = await pickRows(rows, ({ isUsual }) => isUsual, {
    title: t('Tune Recipe'),
    placeHolder: t('Select what to vary'),
  });
  if (!picked) return undefined;
  const keys: { key: TunedKey; values: string | null }[] = [];
  for (const { key, isUsual } of picked) {
    const values = isUsual ? null : await askValues(recipe, key);
    if (values === undefined) return undefined;
    keys.push({ key, values });
  }
  return keys;
}

const valueOf = ({ lora, training }: Recipe, key: TunedKey): unknown =>
  key === 'lora.target_modules' ? lora.target_modules : training.num_train_epochs;

const askValues = (recipe: Recipe, key: TunedKey): Thenable<string | undefined> =>
  askText({
    title: t('Tune Recipe'),
    value:
      key === 'lora.target_modules'
        ? '"all-linear", ["q_proj", "v_proj"]'
        : suggestedValues(key, valueOf(recipe, key)),
    prompt: t('Values of {0}, separated by commas.', key),
    validate: (text) => {
      try {
        parseVary(`${key}=${text}`);
        return undefined;
      } catch (error) {
        return LoraError.from(error, 'usage').message;
      }
    },
  });
