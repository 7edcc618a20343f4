import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { ErrorReporter } from '../errors/reporter';
import type { RunSummary } from '../runs/run';
import { subjectOf } from '../runs/subjects';
import { t } from '../text/l10n';
import type { CommandSpec } from './commandTable';

/**
 * What a command does. `argument`: the row, file or value it was invoked on. `selection`: every
 * selected row of the view it was invoked in; empty when it was invoked elsewhere.
 */
export type CommandHandler = (
  argument: unknown,
  selection: readonly unknown[],
) => Promise<void> | void;

/** Registers commands that report their errors to the user. */
export class CommandRegistry {
  /**
   * `selectedRows`: the selection of the Runs view, for commands invoked by a key in it.
   * `activeRun`: the run whose dashboard is the active editor, for commands without an argument.
   */
  constructor(
    private readonly errors: ErrorReporter,
    private readonly selectedRows: () => readonly unknown[],
    private readonly activeRun: () => RunSummary | undefined,
  ) {}

  /** Registers a command until the returned Disposable is disposed. */
  add({ id, area, needsTrust, subject }: CommandSpec, handler: CommandHandler): vscode.Disposable {
    return vscode.commands.registerCommand(id, async (argument: unknown, selection: unknown) => {
      if (needsTrust && !vscode.workspace.isTrusted) {
        this.reportUntrusted();
        return;
      }
      try {
        if (isKeyPress(argument)) {
          const rows = this.selectedRows();
          await handler(rows[0], rows);
        } else {
          const about = argument ?? subjectOf(subject, this.activeRun());
          await handler(about, Array.isArray(selection) ? selection : []);
        }
      } catch (error) {
        this.errors.report(error, area);
      }
    });
  }

  /** The buttons of a dashboard can invoke commands that the Command Palette disables. */
  private reportUntrusted(): void {
    const error = new LoraError(
      'usage',
      t('This workspace is not trusted. You can view runs, but not start or change them.'),
    );
    this.errors.report(error, 'usage', [
      {
        title: t('Manage Workspace Trust'),
        fix: { kind: 'command', command: 'workbench.trust.manage' },
      },
    ]);
  }
}

/** Whether a command was invoked by one of the keybindings in package.json, by their `args`. */
const isKeyPress = (argument: unknown): boolean => isObject(argument) && argument['key'] === true;
