import * as vscode from 'vscode';
import { plain } from './plain';

/** A task of the extension: what it is called and what it runs. */
export interface TaskParts {
  readonly definition: vscode.TaskDefinition;
  readonly folder: vscode.WorkspaceFolder;
  readonly name: string;
  readonly detail: string;
  readonly terminal: () => vscode.Pseudoterminal;
  readonly problemMatcher: string;
}

/** A task for VS Code. */
export function namedTask(parts: TaskParts): vscode.Task {
  const { definition, folder, name, detail, terminal, problemMatcher } = parts;
  const task = new vscode.Task(
    definition,
    folder,
    plain(name),
    'lora',
    new vscode.CustomExecution(() => Promise.resolve(terminal())),
    problemMatcher,
  );
  task.detail = plain(detail);
  return task;
}

/**
 * Runs a program in a terminal of its own, without a shell. Resolves with its exit code; undefined
 * where it could not be started.
 */
export async function runProgram(
  name: string,
  program: string,
  args: readonly string[],
): Promise<number | undefined> {
  const task = new vscode.Task(
    { type: 'process' },
    vscode.TaskScope.Workspace,
    plain(name),
    'lora',
    new vscode.ProcessExecution(program, [...args]),
  );
  const codes = new Map<vscode.TaskExecution, number | undefined>();
  const ended = new Set<vscode.TaskExecution>();
  let onEnd = (): void => undefined;
  // it may end before it is known to have been started
  const listeners = [
    vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) => codes.set(execution, exitCode)),
    vscode.tasks.onDidEndTask(({ execution }) => {
      ended.add(execution);
      onEnd();
    }),
  ];
  try {
    const running = await vscode.tasks.executeTask(task);
    await new Promise<void>((resolve) => {
      onEnd = () => {
        if (ended.has(running)) resolve();
      };
      onEnd();
    });
    return codes.get(running);
  } finally {
    for (const listener of listeners) listener.dispose();
  }
}
