import { LoraError } from '../../shared/errors';

const CONTROL = /\p{Cc}/u;

/**
 * The words of a program and its arguments as one command for a POSIX shell: each is quoted, so
 * that no character of it means anything to the shell.
 *
 * @throws LoraError('target') for control characters, which some shells treat in their own way
 */
export function remoteCommand(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (CONTROL.test(word))
    throw new LoraError(
      'target',
      `${JSON.stringify(word)} has control characters and is not sent to a shell.`,
    );
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * A host as ssh takes it. One that begins with a dash would be an option.
 *
 * @throws LoraError('target')
 */
export function refuseHost(host: string): void {
  if (isHost(host)) return;
  throw new LoraError('target', `${JSON.stringify(host)} is not the name of a host.`);
}

/** Whether a text is a host, or user@host, and nothing else to ssh. */
export const isHost = (text: string): boolean => /^[A-Za-z0-9_][\w.@:%+-]{0,254}$/.test(text);
