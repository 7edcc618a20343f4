import { LoraError } from '../../shared/errors';
import { oneLine } from '../../shared/plainText';
import { isObject } from '../../shared/values';
import { withoutSecrets } from '../../shared/withoutSecrets';

/** An answer comes within this time, and is no longer than this. */
const ANSWER_MS = 20_000;
const MAX_ANSWER_BYTES = 2 ** 20;
const MAX_REASON = 200;

/** An answer that a server refuses a request with. */
export class Refused extends LoraError {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super('engine', message);
  }
}

/** A tracking server: requests are bounded in time and size, and never redirected. */
export class TrackingServer {
  private readonly base: URL;

  /**
   * @param secrets What no message may repeat, such as tokens in the headers.
   * @throws LoraError('usage') for what is no address of a server
   */
  constructor(
    address: string,
    private readonly headers: Readonly<Record<string, string>>,
    private readonly secrets: readonly string[],
  ) {
    const url = URL.canParse(address) ? new URL(address) : null;
    if (url === null || !/^https?:$/.test(url.protocol))
      throw new LoraError('usage', 'its address is not one of http or https');
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    url.search = '';
    this.base = url;
  }

  /** Sends JSON, and gives the object of the answer. @throws Refused, LoraError('engine') */
  async ask(path: string, body: object | null, signal?: AbortSignal): Promise<object> {
    const limit = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(new URL(path, this.base), {
      method: body === null ? 'GET' : 'POST',
      headers: { ...this.headers, 'Content-Type': 'application/json' },
      redirect: 'manual',
      signal: signal ? AbortSignal.any([limit, signal]) : limit,
      ...(body && { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new LoraError('engine', reasonOf(error, limit), { cause: error });
    });
    const text = await boundedText(response);
    if (!response.ok)
      throw new Refused(
        response.status,
        `it answers ${response.status} ${this.reasonIn(text)}`.trim(),
      );
    return parsed(text);
  }

  private reasonIn(text: string): string {
    return withoutSecrets(oneLine(text), this.secrets).slice(0, MAX_REASON);
  }
}

function reasonOf(error: unknown, limit: AbortSignal): string {
  if (limit.aborted) return 'it does not answer in time';
  const cause = error instanceof Error ? error.cause : undefined;
  const code = isObject(cause) && typeof cause['code'] === 'string' ? cause['code'] : null;
  return `it cannot be reached${code === null ? '' : ` (${code})`}`;
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    total += chunk.length;
    if (total > MAX_ANSWER_BYTES) throw new LoraError('engine', 'its answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
