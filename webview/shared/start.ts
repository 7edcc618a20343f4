/** Sends what goes wrong in a page to its host's log. */
export function reportTrouble(send: (message: string) => void): void {
  window.addEventListener('error', (event) =>
    send(event.error instanceof Error ? (event.error.stack ?? event.message) : event.message),
  );
  window.addEventListener('unhandledrejection', (event) =>
    send(`Unhandled rejection: ${String(event.reason)}`),
  );
  document.addEventListener('securitypolicyviolation', (event) =>
    send(`The content policy refused ${event.violatedDirective}: ${event.blockedURI}`),
  );
}

/** The host puts what a page needs before its first message into meta elements. */
export const meta = (name: string): string =>
  document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? '';
