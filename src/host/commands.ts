import * as vscode from 'vscode';
import type { ErrorArea } from '../shared/errors';
import type { ErrorReporter } from './errors/reporter';
import type { CommandId } from './ids';

type Handler = (argument: unknown) => Promise<void> | void;

/** Registers commands whose errors are told to the user. */
export class CommandRegistry implements vscode.Disposable {
  private readonly registered: vscode.Disposable[] = [];

  constructor(private readonly errors: ErrorReporter) {}

  add(id: CommandId, area: ErrorArea, handler: Handler): void {
    this.registered.push(vscode.commands.registerCommand(id, async (argument: unknown) => {
      try {
        await handler(argument);
      } catch (error) {
        this.errors.report(error, area);
      }
    }));
  }

  dispose(): void {
    for (const command of this.registered) command.dispose();
  }
}
