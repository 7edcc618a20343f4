/** What is read of a token of the editor. */
export interface Cancellation {
  readonly isCancellationRequested: boolean;
  readonly onCancellationRequested: (listener: () => void) => { readonly dispose: () => unknown };
}

/** Does a job that is cancelled by a token of the editor, which is listened to until then. */
export async function withSignal<T>(
  token: Cancellation,
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
