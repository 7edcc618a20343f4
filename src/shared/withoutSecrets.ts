/** A text of a server, which may repeat what was sent to it, without these secrets. */
export const withoutSecrets = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((own, secret) => (secret === '' ? own : own.replaceAll(secret, '…')), text);
