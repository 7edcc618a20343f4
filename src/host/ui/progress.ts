import * as vscode from 'vscode';
import { plain } from './plain';

/** Shows the progress of a job. `increment`: in percent. */
export type ReportProgress = (message: string, increment: number) => void;

/** Runs a job under a notification with its progress and a Cancel button. */
export const withNotification = <T>(
  title: string,
  job: (report: ReportProgress, token: vscode.CancellationToken) => Promise<T>,
): Thenable<T> =>
  vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: plain(title), cancellable: true },
    (progress, token) =>
      job((message, increment) => progress.report({ message: plain(message), increment }), token),
  );

/** Runs a job while the status bar shows its title. */
export const withStatus = <T>(title: string, job: () => Promise<T>): Thenable<T> =>
  vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title: plain(title) },
    job,
  );
