import * as vscode from 'vscode';
import { isObject } from '../../shared/values';
import { COMMANDS } from '../commands/commandTable';
import { asHubDataset } from '../hub/hubSplit';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { ModelFolders } from './modelFolders';
import type { GivenDataset } from './datasetStep';
import type { GivenAnswers } from './trainAdapter';

/** Train Adapter: the questions, a recipe of the answers, and a run of it. */
export function registerTrain(services: Services): vscode.Disposable {
  const { commands } = services;
  const train = async (given: GivenAnswers) => {
    const { trainAdapter } = await import('./trainAdapter');
    const trained = await trainAdapter(services, given);
    if (trained?.start) await startOrQueue(services, vscode.Uri.file(trained.file));
  };
  return vscode.Disposable.from(
    new ModelFolders(),
    commands.add(COMMANDS.trainAdapter, (argument) => train(givenIn(argument))),
    commands.add(COMMANDS.trainOnDataset, (argument) => train({ dataset: datasetIn(argument) })),
    commands.add(COMMANDS.trainOnModel, (argument) =>
      train(argument instanceof vscode.Uri ? { base: argument.fsPath } : {}),
    ),
  );
}

/** What the command was invoked on: a file or folder, or what the Data page shows. */
const datasetIn = (argument: unknown): GivenDataset | undefined =>
  argument instanceof vscode.Uri ? argument.fsPath : asHubDataset(argument);

/** What the row of the Runs view names that offers a model and a dataset. */
function givenIn(argument: unknown): GivenAnswers {
  const { base, dataset } = isObject(argument) ? argument : {};
  return typeof base === 'string' && typeof dataset === 'string' ? { base, dataset } : {};
}
