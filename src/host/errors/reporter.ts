import * as vscode from 'vscode';
import { LoraError, type ErrorArea } from '../../shared/errors';
import { openPlace } from '../editor/openPlace';
import { fixesFor, summarize, type Fix, type FixButton } from './fixes';

/** Tells errors to the user, with buttons that help, and to the log in full. */
export class ErrorReporter {
  constructor(private readonly log: vscode.LogOutputChannel) {}

  /**
   * Resolves when it is logged; the notification stays as long as the user likes. A cancelled job
   * is no error.
   */
  report(thrown: unknown, area: ErrorArea, more: readonly FixButton[] = []): void {
    const error = LoraError.from(thrown, area);
    if (error.area === 'cancelled' || thrown instanceof vscode.CancellationError) return;
    this.log.error(error.describe());
    if (error.cause !== undefined)
      this.log.error(error.cause instanceof Error ? error.cause : JSON.stringify(error.cause));
    void this.offer(error, more).catch((trouble: unknown) => this.log.error(String(trouble)));
  }

  private async offer(error: LoraError, more: readonly FixButton[]): Promise<void> {
    const buttons = fixesFor(error, more);
    const chosen = await vscode.window.showErrorMessage(summarize(error), ...buttons);
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
