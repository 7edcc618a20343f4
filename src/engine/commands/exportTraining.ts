import path from 'node:path';
import { formatSize } from '../../common/formatSize';
import { shellQuote } from '../../common/shellQuote';
import { parseRecipe } from '../../shared/recipeFile';
import { bytesOf, makeBundle } from '../../targets/bundle/bundle';
import { exportJob, type ExportOptions } from '../../targets/export/exportJob';
import { joinLines } from '../report';
import { readRecipeText } from '../training/readRecipe';
import { printResult, type CommandContext } from './context';
import { refuseFaulty } from './remoteTraining';

/** lora targets export: writes what trains a recipe where other programs start jobs. */
export async function exportTraining(
  recipePath: string,
  options: Omit<ExportOptions, 'signal'>,
  context: CommandContext,
): Promise<number> {
  const { dist, signal } = context;
  const file = path.resolve(recipePath);
  const recipe = parseRecipe(await readRecipeText(file), file);
  await refuseFaulty(recipe, { file, available: options.memory }, context);
  const bundle = await makeBundle(recipe, { dist, bases: {}, signal });
  const { id } = await exportJob(bundle, { ...options, signal });
  const { as, output } = options;
  const bytes = bytesOf(bundle.items);
  printResult(context, { output, as, job: id, bytes }, () =>
    joinLines([
      `${output}: ${formatSize(bytes)}, job ${id}`,
      `${shellQuote(path.join(output, START[as]))} says how to start it.`,
    ]),
  );
  return 0;
}

const START = { skypilot: 'skypilot.yaml', kuberay: 'volume.yaml' } as const;
