import type * as vscode from 'vscode';

/** Does a job that is cancelled by a token of the editor, which is listened to until then. */
export async function withSignal<T>(
  token: vscode.CancellationToken,
  job: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  if (token.isCancellationRequested) controller.abort();
  const watch = token.onCancellationRequested(() => controller.abort());
  try {
    return await job(controller.signal);
  } finally {
    watch.dispose();
  }
}
