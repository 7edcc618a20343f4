import type * as vscode from 'vscode';
import type { ErrorArea } from '../../shared/errors';
import type { ExtensionLog } from '../errors/extensionLog';
import type { ErrorReporter } from '../errors/reporter';

/** What the panel of a page needs from the extension. */
export interface PanelHost {
  readonly extensionUri: vscode.Uri;
  /** Shows an error to the user. */
  readonly report: (error: unknown) => void;
  /** Writes a warning to the extension's log: what went wrong without harm. */
  readonly log: (message: string) => void;
}

interface PanelServices {
  readonly extensionUri: vscode.Uri;
  readonly errors: ErrorReporter;
  readonly log: ExtensionLog;
}

/** `area`: the area of what a panel throws, unless that is a LoraError, which names its own. */
export const panelHost = (
  { extensionUri, errors, log }: PanelServices,
  area: ErrorArea,
): PanelHost => ({
  extensionUri,
  report: (error) => errors.report(error, area),
  log: (message) => log.warn(message),
});
