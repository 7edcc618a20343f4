import * as http from 'node:http';
import * as https from 'node:https';
import { LoraError } from '../../shared/errors';
import { networkReason, shortened } from '../foreignText';
import { cancelled, TargetUnreachable, throwIfAborted } from '../targetError';

/** An answer is complete within this time, however slowly it comes. */
const ANSWER_MS = 30_000;
/** Sending a package over a slow line. */
const SEND_MS = 30 * 60_000;
/** A list of all jobs or nodes of a large cluster. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;

/** An answer in whole. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

interface RequestOptions {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly signal: AbortSignal;
  readonly body?: Buffer;
  readonly type?: string;
}

/** Requests to a cluster's dashboard: bounded in size and time, and never redirected. */
export class RayHttp {
  private readonly base: URL;
  private readonly agent: http.Agent;
  private readonly disposed = new AbortController();

  /** `token`: sent with each request; null: the cluster asks for none. */
  constructor(
    readonly address: string,
    private readonly token: string | null,
  ) {
    this.base = addressOf(address);
    const secure = this.base.protocol === 'https:';
    this.agent = new (secure ? https : http).Agent({ keepAlive: true });
  }

  dispose(): void {
    this.disposed.abort();
    this.agent.destroy();
  }

  /** An answer in whole. @throws LoraError('target' | 'cancelled') */
  async ask(options: RequestOptions): Promise<Answer> {
    const limit = AbortSignal.timeout(options.body === undefined ? ANSWER_MS : SEND_MS);
    const signal = AbortSignal.any([options.signal, limit]);
    try {
      const response = await this.open({ ...options, signal });
      const { statusCode = 0, headers } = response;
      return { status: statusCode, headers, body: await this.wholeBody(response, signal) };
    } catch (error) {
      throwIfAborted(options.signal);
      if (limit.aborted) throw this.unreachable('did not answer in time', error);
      throw error;
    }
  }

  /**
   * An answer whose body is still to be read, and is destroyed by whoever asked.
   *
   * @throws as `ask` does
   */
  open({ method, path, signal, body, type }: RequestOptions): Promise<http.IncomingMessage> {
    const url = new URL(path, this.base);
    const { request } = url.protocol === 'https:' ? https : http;
    return new Promise((resolve, reject) => {
      throwIfAborted(signal);
      const sent = request(url, {
        method,
        agent: this.agent,
        signal: AbortSignal.any([signal, this.disposed.signal]),
        headers: {
          // a dashboard refuses what a browser could have been made to send
          'User-Agent': 'lora-workbench',
          ...(this.token !== null && { Authorization: `Bearer ${this.token}` }),
          ...(body && { 'Content-Length': body.length, 'Content-Type': type }),
        },
      });
      sent.once('error', (error) =>
        reject(signal.aborted ? cancelled() : this.unreachable(networkReason(error), error)),
      );
      sent.once('response', (response) => {
        const { statusCode = 0, headers } = response;
        if (statusCode < 300 || statusCode >= 400) {
          resolve(response);
          return;
        }
        response.destroy();
        reject(this.redirected(headers.location));
      });
      sent.end(body);
    });
  }

  /** For an answer that a dashboard of Ray does not give. */
  notRay(cause: unknown): LoraError {
    return new LoraError('target', `${this.address} answers, but not as a Ray dashboard does.`, {
      fix: "Name the address of the cluster's dashboard, such as http://head:8265.",
      cause,
    });
  }

  /** For an answer that says that something went wrong. */
  failed(what: string, { status, body }: Answer): LoraError {
    if (status === 401 || status === 403)
      return new LoraError('target', `${this.address} refuses access (${status}).`, {
        fix: 'Name the environment variable with its token in the entry of the target: "token".',
      });
    const lines = body
      .toString('utf8', 0, 2 ** 16)
      .trim()
      .split('\n');
    const reason = shortened(lines.at(-1) ?? '');
    return new LoraError('target', `${what}: the cluster answered ${status}. ${reason}`.trim());
  }

  private async wholeBody(response: http.IncomingMessage, signal: AbortSignal): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let total = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        total += chunk.length;
        if (total > MAX_ANSWER_BYTES)
          throw new LoraError('target', `${this.address} sent more than it was asked for.`);
        chunks.push(chunk);
      }
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof LoraError) throw error;
      throw this.unreachable('broke off its answer', error);
    } finally {
      response.destroy();
    }
    return Buffer.concat(chunks);
  }

  private unreachable(reason: string, cause: unknown): TargetUnreachable {
    return new TargetUnreachable(`${this.address} ${reason}.`, {
      fix: 'Check the address, that the cluster runs, and that this machine can reach it.',
      cause,
    });
  }

  private redirected(location: string | undefined): LoraError {
    const place = location === undefined ? 'another address' : shortened(location);
    return new LoraError('target', `${this.address} redirects to ${place}: it is not followed.`, {
      fix: 'Name the address of the dashboard itself.',
    });
  }
}

/** @throws LoraError('target') for what is no address, or one with a password, which is shown */
function addressOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '')
    throw new LoraError('target', 'The entry has no address that a Ray dashboard can have.', {
      fix: 'Name one such as http://head:8265; for a token there is "token".',
    });
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}
