import * as vscode from 'vscode';
import { LoraError, type ErrorArea } from '../../shared/errors';
import { expectedError } from '../../common/expectedError';
import { notify } from '../ui/messages';
import { openPlace } from '../editor/openPlace';
import type { ExtensionLog } from './extensionLog';
import { fixesFor, REPORT_ISSUE, summarize, type Fix, type FixButton } from './fixes';

/** Shows errors to the user, with buttons that help, and logs them in full. */
export class ErrorReporter {
  constructor(private readonly log: ExtensionLog) {}

  /**
   * Logs an error and shows it in a notification, without waiting for the user. Cancellations are
   * ignored. `area`: that of anything but a LoraError. `more`: buttons that only the caller knows.
   */
  report(thrown: unknown, area: ErrorArea, more: readonly FixButton[] = []): void {
    const expected = expectedError(thrown);
    const error = expected ?? LoraError.from(thrown, area);
    if (error.area === 'cancelled' || thrown instanceof vscode.CancellationError) return;
    this.log.error(error.describe());
    if (error.cause !== undefined)
      this.log.error(
        error.cause instanceof Error
          ? (error.cause.stack ?? error.cause.message)
          : JSON.stringify(error.cause),
      );
    const buttons = fixesFor(error, expected === null ? [...more, REPORT_ISSUE()] : more);
    this.show(error, buttons).catch((trouble: unknown) => this.log.error(String(trouble)));
  }

  private async show(error: LoraError, buttons: readonly FixButton[]): Promise<void> {
    const chosen = await notify('error', summarize(error), buttons);
    if (chosen) await this.apply(chosen.fix);
  }

  private async apply(fix: Fix): Promise<void> {
    switch (fix.kind) {
      case 'openPlace':
        return openPlace(fix.place);
      case 'command':
        return vscode.commands.executeCommand(fix.command, fix.argument);
      case 'showLog':
        this.log.show();
    }
  }
}
