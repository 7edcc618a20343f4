import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { AwsV4Signer } from 'aws4fetch';
import type { Environment } from '../../common/programs';
import { LoraError } from '../../shared/errors';
import { networkReason } from '../foreignText';
import { TargetUnreachable, throwIfAborted } from '../targetError';
import type { ByteRange } from '../target';
import { codeIn, refused } from './bucketErrors';
import { parseListing, type StoredObject } from './listing';
import {
  bucketPlace,
  credentialsOf,
  type BucketPlace,
  type BucketSettings,
  type Credentials,
} from './place';

/** Before a request is tried again that the network or the storage has failed. */
const PAUSES_MS = [200, 500, 1_000, 2_000, 5_000];
/** A request and its answer, of a part of 16 MiB at most. */
const REQUEST_MS = 120_000;
const MAX_ERROR_BYTES = 2 ** 16;
const MAX_LISTING_BYTES = 4 * 2 ** 20;
const MAX_LISTED = 100_000;
const BUSY: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

interface Request {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** '' for the bucket itself. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly range?: ByteRange;
  readonly maxBytes: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/**
 * The objects of a storage that speaks S3, below a prefix. Requests are signed, bounded in size and
 * time, never redirected, and tried again when the network or the storage fails.
 */
export class Bucket {
  private constructor(
    private readonly place: BucketPlace,
    private readonly credentials: Credentials,
    private readonly pauses: readonly number[],
  ) {}

  /** @throws LoraError('target') for settings that are not valid, or without a key */
  static open(settings: BucketSettings, env: Environment, pauses = PAUSES_MS): Bucket {
    return new Bucket(bucketPlace(settings, env), credentialsOf(env), pauses);
  }

  /** The content of an object; null: there is none. @throws LoraError('target' | 'cancelled') */
  async get(key: string, maxBytes: number, signal: AbortSignal): Promise<Buffer | null> {
    return this.read({ method: 'GET', key, maxBytes }, signal);
  }

  /** A part of an object; null: there is no such object. @throws as `get` does */
  async getRange(key: string, range: ByteRange, signal: AbortSignal): Promise<Buffer | null> {
    return this.read({ method: 'GET', key, range, maxBytes: range.maxBytes }, signal);
  }

  /** @throws LoraError('target' | 'cancelled') */
  async put(key: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const answer = await this.ask({ method: 'PUT', key, body, maxBytes: MAX_ERROR_BYTES }, signal);
    if (answer.status !== 200) throw refused(this.place, answer);
  }

  /** Removes an object; one that is not there is no error. @throws as `put` does */
  async remove(key: string, signal: AbortSignal): Promise<void> {
    const answer = await this.ask({ method: 'DELETE', key, maxBytes: MAX_ERROR_BYTES }, signal);
    if (answer.status === 404 && codeIn(answer.body) !== 'NoSuchBucket') return;
    if (answer.status !== 204 && answer.status !== 200) throw refused(this.place, answer);
  }

  /** The objects below a folder, in the order of their keys. @throws LoraError('target') */
  async list(folder: string, signal: AbortSignal): Promise<readonly StoredObject[]> {
    const objects: StoredObject[] = [];
    for (let token: string | null = ''; token !== null;) {
      const page = await this.page(folder, token, signal);
      objects.push(...page.objects);
      if (objects.length > MAX_LISTED)
        throw new LoraError('target', `There are too many objects in the bucket below ${folder}.`);
      token = page.next;
    }
    return objects;
  }

  /** That the bucket is there and can be listed. @throws as `put` does */
  async probe(signal: AbortSignal): Promise<void> {
    await this.page('', '', signal, 1);
  }

  private async page(folder: string, token: string, signal: AbortSignal, most = 1_000) {
    const { prefix } = this.place;
    const query = {
      'list-type': '2',
      'encoding-type': 'url',
      'max-keys': String(most),
      prefix: `${prefix}${folder}`,
      ...(token !== '' && { 'continuation-token': token }),
    };
    const maxBytes = MAX_LISTING_BYTES;
    const answer = await this.ask({ method: 'GET', key: '', query, maxBytes }, signal);
    if (answer.status !== 200) throw refused(this.place, answer);
    return parseListing(answer.body.toString('utf8'), prefix);
  }

  private async read(request: Request, signal: AbortSignal): Promise<Buffer | null> {
    const answer = await this.ask(request, signal);
    if (answer.status === 200 || answer.status === 206) return answer.body;
    // beyond the end
    if (answer.status === 416) return Buffer.alloc(0);
    if (answer.status === 404 && codeIn(answer.body) !== 'NoSuchBucket') return null;
    throw refused(this.place, answer);
  }

  private async ask(request: Request, signal: AbortSignal): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      throwIfAborted(signal);
      const answer = await this.attempt(request, signal);
      const isFinal = !(answer instanceof LoraError) && !BUSY.has(answer.status);
      if (isFinal) return answer;
      const pause = this.pauses[tries];
      if (pause === undefined) throw this.failure(answer);
      await wait(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined);
    }
  }

  private failure(last: Answer | TargetUnreachable): LoraError {
    if (last instanceof LoraError) return last;
    return new TargetUnreachable(`${this.place.endpoint.host} is too busy (${last.status}).`);
  }

  /** An answer, or why there was none. @throws LoraError('target' | 'cancelled') for good */
  private async attempt(
    request: Request,
    signal: AbortSignal,
  ): Promise<Answer | TargetUnreachable> {
    const limit = AbortSignal.timeout(REQUEST_MS);
    try {
      const { url, headers } = await this.signed(request);
      const response = await fetch(url, {
        method: request.method,
        headers,
        body: request.body ?? null,
        redirect: 'manual',
        signal: AbortSignal.any([signal, limit]),
      });
      const isContent = response.status === 200 || response.status === 206;
      const body = await wholeBody(response, isContent ? request.maxBytes : MAX_ERROR_BYTES);
      return { status: response.status, headers: response.headers, body };
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof LoraError) throw error;
      const reason = limit.aborted ? 'did not answer in time' : networkReason(causeOf(error));
      return new TargetUnreachable(`${this.place.endpoint.host} ${reason}.`, {
        fix: 'Check "endpoint" in the entry of the target, and that this machine can reach it.',
        cause: error,
      });
    }
  }

  private signed({ method, key, query = {}, body, range }: Request) {
    const { endpoint, bucket, prefix, region } = this.place;
    const folder = endpoint.pathname.replace(/\/$/, '');
    const url = new URL(endpoint);
    url.pathname = `${folder}/${bucket}${key === '' ? '' : `/${prefix}${key}`}`;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const last = range && range.offset + range.maxBytes - 1;
    const signer = new AwsV4Signer({
      ...this.credentials,
      method,
      url: url.href,
      service: 's3',
      region,
      headers: {
        'X-Amz-Content-Sha256': createHash('sha256')
          .update(body ?? '')
          .digest('hex'),
        ...(range && { Range: `bytes=${range.offset}-${last}` }),
      },
    });
    return signer.sign();
  }
}

/** fetch says what has failed as the cause of its error. */
const causeOf = (error: unknown): Error => {
  const { cause } = error as { readonly cause?: unknown };
  return cause instanceof Error ? cause : (error as Error);
};

async function wholeBody(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  if (response.body === null) return Buffer.alloc(0);
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    total += chunk.length;
    if (total > maxBytes)
      throw new LoraError('target', 'The bucket sent more than it was asked for.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
