import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { downloadBaseCommand } from '../hub/downloadBase';
import { chooseHubDataset } from '../hub/hubDataset';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askBase } from './baseStep';
import { askRank, askTargets } from '../setup/costSteps';
import { askColumns } from './columnsStep';
import { askDataset, type GivenDataset } from './datasetStep';
import { askFile, recipeFolder } from './fileStep';
import { runSteps, type Outcome } from '../setup/steps';
import type { TrainState } from '../setup/trainState';
import { usualRank } from '../../shared/usualRank';
import { writeRecipe } from '../setup/writeRecipe';
import { price, recipeTextOf } from './answers';
import { askRuntime } from './runtimeStep';
import { askStart } from './startStep';

const LAST_BASE = 'lora.lastBase';

/** Answers that the command was invoked on. */
export interface GivenAnswers {
  readonly base?: string;
  readonly dataset?: GivenDataset | undefined;
}

const INITIAL: TrainState = {
  base: null,
  dataset: null,
  columns: {},
  replay: null,
  priced: null,
  r: usualRank(null),
  recommended: usualRank(null),
  target_modules: 'all-linear',
  kept: null,
  file: null,
  start: true,
};

/** Gives a value the first time only: whoever goes back to a question is asked. */
function once<T>(value: T | undefined): () => T | undefined {
  let left = value;
  return () => {
    const taken = left;
    left = undefined;
    return taken;
  };
}

/**
 * Asks what to train, writes the recipe and opens it; returns its path, and whether to start it.
 * Undefined: cancelled.
 *
 * @throws LoraError('usage') when no folder is open; LoraError('disk') when the recipe cannot be
 *   written.
 */
export async function trainAdapter(
  {
    context,
    errors,
    inspections,
    jobs,
    runtime,
  }: Pick<Services, 'context' | 'errors' | 'inspections' | 'jobs' | 'runtime'>,
  given: GivenAnswers = {},
): Promise<{ readonly file: string; readonly start: boolean } | undefined> {
  if (!vscode.workspace.workspaceFolders?.length) {
    throw new LoraError('usage', t('No folder is open.'), {
      fix: t(
        'Open the folder that contains your examples. The recipe and its runs are stored in it.',
      ),
    });
  }
  if (!(await askRuntime(runtime, (error) => errors.report(error, 'runtime')))) return undefined;
  const memory = context.globalState;
  const baseQuestion = {
    errors,
    inspections,
    lastUsed: memory.get<string>(LAST_BASE),
    download: (name?: string) => downloadBaseCommand({ jobs, secrets: context.secrets }, name),
  };
  const [base, dataset] = [once(given.base), once(given.dataset)];
  const { secrets } = context;
  const datasetQuestion = {
    errors,
    inspections,
    download: () => chooseHubDataset({ jobs, secrets }),
  };
  // counting the rows takes a while
  const priced = (state: TrainState) => ({ ...state, priced: price(jobs, state) });
  const withPrice = (outcome: Outcome<TrainState>): Outcome<TrainState> =>
    outcome.kind === 'next' ? { kind: 'next', state: priced(outcome.state) } : outcome;
  const answers = await runSteps<TrainState>(
    [
      (state, first) => askBase(state, first, baseQuestion, base()),
      async (state, first) => withPrice(await askDataset(state, first, datasetQuestion, dataset())),
      async (state, first) => withPrice(await askColumns(state, first, inspections)),
      askRank,
      askTargets,
      askFile,
      (state, first) => askStart(state, first, { ...datasetQuestion, withPrice: priced }),
    ],
    INITIAL,
  );
  if (!answers) return undefined;
  await memory.update(LAST_BASE, answers.base!.path);
  const file = await write(answers);
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  return { file, start: answers.start };
}

async function write(state: TrainState): Promise<string> {
  const target = state.file ?? path.join(recipeFolder(state.dataset!.path), 'lora.json');
  await writeRecipe(target, recipeTextOf(state, path.dirname(target)));
  return target;
}
