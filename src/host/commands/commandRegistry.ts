import * as vscode from 'vscode';
import { LoraError, type ErrorArea } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { ErrorReporter } from '../errors/reporter';
import { NEEDS_TRUST, type CommandId } from '../manifest/ids';
import { t } from '../text/l10n';

/**
 * `argument`: what the command was called on; `selection`: all rows of a view that were marked
 * then.
 */
type Handler = (argument: unknown, selection: readonly unknown[]) => Promise<void> | void;

/** Registers commands whose errors are told to the user. */
export class CommandRegistry implements vscode.Disposable {
  private readonly registered: vscode.Disposable[] = [];

  /** Rows that are marked in the Runs view: what a key that is pressed in it is about. */
  marked: () => readonly unknown[] = () => [];

  constructor(private readonly errors: ErrorReporter) {}

  add(id: CommandId, area: ErrorArea, handler: Handler): void {
    this.registered.push(
      vscode.commands.registerCommand(id, async (argument: unknown, selection: unknown) => {
        if (NEEDS_TRUST.has(id) && !vscode.workspace.isTrusted) {
          this.errors.report(notTrusted(), 'usage', [
            {
              title: t('Manage Workspace Trust'),
              fix: { kind: 'command', command: 'workbench.trust.manage' },
            },
          ]);
          return;
        }
        try {
          const rows = isKey(argument) ? this.marked() : Array.isArray(selection) ? selection : [];
          await handler(isKey(argument) ? rows[0] : argument, rows);
        } catch (error) {
          this.errors.report(error, area);
        }
      }),
    );
  }

  dispose(): void {
    for (const command of this.registered) command.dispose();
  }
}

/** The argument of the keybindings in package.json. */
const isKey = (argument: unknown): boolean => isObject(argument) && argument['key'] === true;

/** The buttons of a dashboard reach commands that the palette hides. */
const notTrusted = () =>
  new LoraError(
    'usage',
    t('This workspace is not trusted: runs can be viewed, but nothing is started or changed.'),
  );
