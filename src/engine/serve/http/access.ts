import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { ApiError } from './apiError';

/** Who may use the server. */
export interface Access {
  /** The address or name that it listens at. */
  readonly host: string;
  /** Null: none is asked for. */
  readonly token: string | null;
}

/** Whether only programs of this machine reach a host. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/**
 * Refuses requests of others: without the token; of web pages; and, of a server on loopback, those
 * under another name, which a web page may have made a name of this machine (DNS rebinding).
 *
 * @throws ApiError
 */
export function checkAccess({ host, token }: Access, headers: IncomingHttpHeaders): void {
  const name = hostName(headers.host ?? '');
  if (name === null || (isLoopback(host) && !isLoopback(name)))
    throw new ApiError(403, 'The Host header must name this machine, such as 127.0.0.1.');
  if (headers.origin !== undefined)
    throw new ApiError(403, 'Requests of web pages are not answered.');
  if (token === null || isSame(headers.authorization ?? '', `Bearer ${token}`)) return;
  throw new ApiError(
    401,
    'The token is missing or wrong: send it as "Authorization: Bearer TOKEN".',
    {
      code: 'invalid_api_key',
    },
  );
}

/** The name or address in a Host header; null if it is not one. */
function hostName(header: string): string | null {
  const { ip, name } =
    /^(?:\[(?<ip>[\da-f:.]+)\]|(?<name>[\w.-]+))(?::\d{1,5})?$/i.exec(header)?.groups ?? {};
  return (ip ?? name)?.toLowerCase() ?? null;
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

const isSame = (given: string, wanted: string): boolean =>
  timingSafeEqual(hash(given), hash(wanted));
