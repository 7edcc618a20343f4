import path from 'node:path';
import { formatSize } from '../../common/formatSize';
import { parseRecipe } from '../../shared/recipeFile';
import { bytesOf, makeBundle } from '../../targets/bundle/bundle';
import { findTarget } from '../../targets/targetList';
import { joinLines } from '../report';
import { readRecipeText } from '../training/readRecipe';
import { printResult, type CommandContext } from './context';
import { withTarget } from './remoteTraining';

/** lora targets runs: the runs that a target knows, the newest first. */
export async function listRunsThere(name: string, context: CommandContext): Promise<number> {
  const entry = await findTarget(name);
  const handles = await withTarget(entry, context, (target) => target.jobs(context.signal));
  const runs = handles.map(({ job }) => ({ job }));
  printResult(context, { name, runs }, () =>
    runs.length === 0 ? `${name} has no runs.` : joinLines(runs.map(({ job }) => job)),
  );
  return 0;
}

/** lora targets plan: what is sent before a recipe can be trained on a target. */
export async function planSending(
  name: string,
  recipePath: string,
  context: CommandContext,
): Promise<number> {
  const { dist, signal } = context;
  const entry = await findTarget(name);
  const file = path.resolve(recipePath);
  const recipe = parseRecipe(await readRecipeText(file), file);
  return withTarget(entry, context, async (target) => {
    const report = await target.check(signal);
    const bundle = await makeBundle(recipe, { dist, bases: entry.bases, target, signal });
    const present = await target.present(bundle.items, signal);
    const items = bundle.items.map((item) => ({
      label: item.label,
      bytes: bytesOf([item]),
      present: present.has(item.id),
    }));
    const { there } = bundle;
    printResult(context, { name, report, items, there }, () =>
      joinLines([
        ...items.map(
          (item) =>
            `${item.label}: ${formatSize(item.bytes)}, ${item.present ? 'is there already' : 'is sent'}`,
        ),
        ...there.map((place) => `${place} is there already`),
      ]),
    );
    return 0;
  });
}
