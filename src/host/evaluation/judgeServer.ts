import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as v from 'valibot';
import { parsed } from '../../shared/parsed';

/** Answers a text. */
type Answer = (text: string, signal: AbortSignal) => Promise<string>;

const MOST_BYTES = 4 * 2 ** 20;

const asRequest = parsed(
  v.object({ messages: v.pipe(v.array(v.object({ content: v.string() })), v.minLength(1)) }),
);

/**
 * Passes a chat model of the editor to `lora evaluate --judge`: one route of OpenAI's API, on this
 * machine, for those who know its key.
 */
export class JudgeServer {
  /** Sent as a bearer token. */
  readonly key = randomBytes(24).toString('base64url');
  private readonly server: Server;

  private constructor(private readonly answer: Answer) {
    this.server = createServer((request, response) => {
      this.handle(request, response).catch((error: unknown) =>
        send(response, 502, { error: { message: String(error) } }),
      );
    });
  }

  /** Starts on a free port. */
  static async start(answer: Answer): Promise<JudgeServer> {
    const own = new JudgeServer(answer);
    await new Promise<void>((resolve, reject) => {
      own.server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return own;
  }

  /** The address that ends with /v1. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  dispose(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, message: string) =>
      send(response, status, { error: { message } });
    if (!this.isAllowed(request)) {
      refuse(401, 'no key');
      return;
    }
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
      refuse(404, 'no such route');
      return;
    }
    const body = asRequest(await jsonOf(request));
    if (!body) {
      refuse(400, 'no messages');
      return;
    }
    const controller = new AbortController();
    response.once('close', () => controller.abort());
    const text = body.messages.map(({ content }) => content).join('\n\n');
    const content = await this.answer(text, controller.signal);
    send(response, 200, {
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    });
  }

  private isAllowed({ headers }: IncomingMessage): boolean {
    const wanted = Buffer.from(`Bearer ${this.key}`);
    const given = Buffer.from(headers.authorization ?? '');
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}

/** The body; undefined for one that is too large or no JSON. */
async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_BYTES) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
