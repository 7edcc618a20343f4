import { oneLine } from '../shared/plainText';

const SHOWN_CHARACTERS = 300;

/** Foreign text in one short line. */
export const shortened = (text: string): string => {
  const line = oneLine(text).trim();
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line;
};

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses the connection: nothing listens there',
  ECONNRESET: 'broke off the connection',
  ENOTFOUND: 'has a host name that is not known',
  EAI_AGAIN: 'has a host name that cannot be looked up',
  ETIMEDOUT: 'did not answer in time',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached: there is no network',
};

/** Why a server cannot be reached, as what it does: 'refuses the connection'. */
export function networkReason(error: Error): string {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code.startsWith('HPE_')) return 'does not speak HTTP';
  return REASONS[code] ?? `cannot be reached (${shortened(error.message)})`;
}
