import { matchTargets } from '../../lora/targets';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { distillationOf } from '../../shared/objective';
import { parseRecipe } from '../../shared/recipeFile';
import { figuresOf } from '../configure/figures';
import type { Inspections } from '../inspection/inspections';
import { readBaseFacts, recipeOfBase } from '../setup/costs';
import { hostMachine } from '../setup/machineMemory';
import { t } from '../text/l10n';
import { pick } from '../ui/picker';
import { sendRows, type NeededMemory, type Sending } from './sendRows';
import { memoryOf } from './targetReport';

/**
 * Shows what is sent and what it costs there, and asks whether to start. 'back': choose another
 * target. False: cancelled.
 */
export async function askToSend(
  inspections: Inspections,
  sending: Sending,
): Promise<boolean | 'back'> {
  const picked = await pick<true>({
    title: t('Run on {0}', sending.target),
    placeholder: t('This is sent to {0}', sending.target),
    first: false,
    isDefault: () => true,
    fill: async (show) => {
      show(sendRows(sending, null));
      show(sendRows(sending, await memoryFor(inspections, sending).catch(() => null)));
    },
  });
  return picked.kind === 'back' ? 'back' : picked.kind === 'picked';
}

/** Bytes that a training step needs, where the target has as much memory as it says. */
async function memoryFor(
  inspections: Inspections,
  { recipe: file, plan }: Sending,
): Promise<NeededMemory | null> {
  const available = memoryOf(plan.report);
  if (available === null) return null;
  const limits = { maxBytes: MAX_BYTES.writtenByPeople };
  const recipe = parseRecipe(await readTextFile(file, limits), file);
  const base = await readBaseFacts(inspections, recipe.base, recipeOfBase(recipe));
  const { matched } = matchTargets(base.modules, recipe.lora);
  const taught = distillationOf(recipe);
  const teacher = taught && (await readBaseFacts(inspections, taught.teacher));
  const { memory, full, images } = figuresOf(
    base,
    recipe,
    { settings: recipe.lora, chosen: matched, teacher },
    hostMachine(available),
  );
  const step = recipe.training.method === 'full' ? full : memory;
  return step && { bytes: step.total, images };
}
