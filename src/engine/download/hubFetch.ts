import { isIP } from 'node:net';
import { LoraError } from '../../shared/errors';
import { inPatience, steadyBody, USUAL_PATIENCE, type Patience } from '../../common/steadyBody';

/** A repository on the Hub, and how to reach it. */
export interface Hub {
  /** The Hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** owner/model */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  readonly token: string | null;
  readonly signal: AbortSignal;
  /** How slow the Hub may be; `USUAL_PATIENCE` by default. */
  readonly patience?: Patience;
}

/** The chunks of an answer. @throws Stalled, or the error of the connection. */
export const bodyOf = (response: Response, hub: Hub): AsyncIterable<Uint8Array> =>
  steadyBody(response.body ?? new Blob([]).stream(), hub.patience ?? USUAL_PATIENCE);

const MAX_REDIRECTS = 5;
/** Of the answers that list a repository, together. The largest repositories need about 5 MB. */
const MAX_LIST_BYTES = 32e6;
const MAX_PAGES = 200;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/**
 * Requests an address of the Hub. Redirects are followed to https only (to http where the Hub's own
 * address is http), not into the local network, and without the token on other hosts: the Hub sends
 * large files from other hosts.
 *
 * @throws LoraError('base') for an address or a redirect that is refused; Stalled; fetch's error.
 */
export async function fetchFromHub(
  address: string,
  { endpoint, token, signal, patience = USUAL_PATIENCE }: Hub,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const hub = new URL(endpoint);
  let url = new URL(address);
  if (url.origin !== hub.origin)
    throw refused(`The Hub at ${hub.origin} continues its list at ${url.origin}.`);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const isOwn = url.origin === hub.origin;
    const authorization = isOwn && token !== null && { Authorization: `Bearer ${token}` };
    const request = { redirect: 'manual', headers: { ...headers, ...authorization } } as const;
    const current = url;
    const response = await inPatience(patience, signal, (until) =>
      fetch(current, { ...request, signal: until }),
    );
    const location = response.headers.get('location');
    if (!REDIRECTS.includes(response.status) || location === null) return response;
    await response.body?.cancel();
    url = redirectTarget(location, url, hub);
  }
  throw refused(`The Hub redirects more than ${MAX_REDIRECTS} times.`);
}

/**
 * Where the Hub leads to from an address of its own.
 *
 * @throws LoraError('base') for an address that is refused
 */
export function redirectTarget(location: string, from: URL, hub: URL): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : null;
  if (target === null) throw refused('The Hub redirects to something that is not an address.');
  const isEncrypted = target.protocol === 'https:';
  const isAsHub = target.protocol === 'http:' && hub.protocol === 'http:';
  const isPlain = target.username === '' && target.password === '';
  const isReachable = target.hostname === hub.hostname || !isLocal(target.hostname);
  if ((isEncrypted || isAsHub) && isPlain && isReachable) return target;
  throw refused(`The Hub redirects to ${target.protocol}//${target.host}, which is refused.`);
}

/** Hosts without a public name: they may be services of this machine or its network. */
function isLocal(host: string): boolean {
  // a dot at the end stands for the root and changes nothing
  const name = host.replace(/^\[|\]$|\.+$/g, '');
  return (
    isIP(name) !== 0 ||
    !name.includes('.') ||
    /\.(?:localhost|local|internal|lan|home|corp|intranet|home\.arpa)$/i.test(name)
  );
}

const refused = (message: string): LoraError =>
  new LoraError('base', message, {
    fix: 'Check HF_ENDPOINT, or download from another Hub server.',
  });

/**
 * A fetch for the pages of a repository's list: their number and their bytes together are bounded.
 * Errors are as of `fetchFromHub`.
 */
export function listFetch(hub: Hub): typeof fetch {
  let pages = 0;
  let bytes = 0;
  return async (input) => {
    if (++pages > MAX_PAGES) throw tooLong(hub);
    const address = input instanceof Request ? input.url : input.toString();
    const response = await fetchFromHub(address, hub, { accept: 'application/json' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of bodyOf(response, hub)) {
      bytes += chunk.length;
      if (bytes > MAX_LIST_BYTES) throw tooLong(hub);
      chunks.push(chunk);
    }
    const { status, headers } = response;
    return new Response(response.body && Buffer.concat(chunks), { status, headers });
  };
}

const tooLong = ({ repository }: Hub): LoraError =>
  refused(`The Hub's list of the files of ${repository} is too long.`);
