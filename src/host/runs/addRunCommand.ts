import type * as vscode from 'vscode';
import type { CommandSpec } from '../commands/commandTable';
import type { Services } from '../services';
import { chooseRun, type RunChoice } from './chooseRun';
import type { RunSummary } from './run';

/**
 * Adds a command about one run: the one it was invoked on, else one that the user picks. `choice`
 * is called at each invocation, so that its texts are translated.
 */
export const addRunCommand = (
  { commands, store }: Pick<Services, 'commands' | 'store'>,
  command: CommandSpec,
  choice: () => RunChoice,
  action: (run: RunSummary) => unknown,
): vscode.Disposable =>
  commands.add(command, async (argument) => {
    const run = await chooseRun(store, argument, choice());
    if (run) await action(run);
  });
