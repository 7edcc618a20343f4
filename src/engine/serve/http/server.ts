import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { yieldToEventLoop } from '../../../models/ops/ops';
import { LoraError } from '../../../shared/errors';
import { checkAccess, type Access } from './access';
import { ApiError } from './apiError';
import { complete, type Answering } from './complete';
import { embed, type Encoding } from './embeddings';
import { EventStream } from './eventStream';
import { mixOf, modelIds } from './modelNames';
import { prepareChat, prepareText, type PreparedRequest } from './prepare';
import { readBody } from './readBody';
import { chatRequest, textRequest } from './requests';
import { rerank } from './rerank';
import { totalUsage } from './shapes';
import { detokenize, tokenize, tokenizerInfo } from './tokens';

/** Bounds of what a client may send and hold. */
const LIMITS = {
  maxHeaderSize: 16 << 10,
  /** To send the headers, and the whole request (ms). */
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  /** Finds peers that are gone without a word. */
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
} as const;
const MAX_CONNECTIONS = 256;
/** For a client to take the rest of its answer (ms). */
const LAST_BYTES_TIMEOUT = 30_000;

/** What answers all requests. */
export type Answers = Answering & Encoding;

/** A server that runs. */
export interface HttpServer {
  /** Where it is reached, such as http://127.0.0.1:8000. */
  readonly url: string;
  /** Answers from now on; until then it asks clients to wait. */
  open(answers: Answers): void;
  /** Ends answers that are being written, and closes all connections. */
  close(): Promise<void>;
}

/**
 * An OpenAI-compatible server. It takes its port before the models are loaded.
 *
 * @param port 0: any free one.
 * @throws LoraError('usage') where the port is taken.
 */
export async function startServer(access: Access, port: number): Promise<HttpServer> {
  let service: Service | null = null;
  const server = http.createServer(LIMITS, (request, response) => {
    void respond(service, access, request, response);
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', refuseMalformed);
  await listen(server, access.host, port);
  const name = access.host.includes(':') ? `[${access.host}]` : access.host;
  return {
    url: `http://${name}:${(server.address() as AddressInfo).port}`,
    open: (answers) => {
      service = { ...answers, created: Math.floor(Date.now() / 1000) };
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await service?.scheduler.close();
      await yieldToEventLoop(); // the last answers say that the server is ending
      server.closeAllConnections();
      await service?.queue.close();
      await closed;
    },
  };
}

function listen(server: http.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen(port, host, resolve);
  });
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): LoraError {
  const options = { cause, fix: 'Choose another one (--port).' };
  if (cause.code === 'EADDRINUSE')
    return new LoraError('usage', `The port ${port} is taken by another program.`, options);
  if (cause.code === 'EACCES')
    return new LoraError('usage', `The port ${port} may not be used by this user.`, options);
  return new LoraError('usage', `The server cannot listen at ${host}: ${cause.message}.`, {
    cause,
  });
}

/** Answers what is no HTTP, or what comes too slowly. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status = MALFORMED[error.code ?? ''] ?? '400 Bad Request';
  const body = JSON.stringify(
    new ApiError(Number.parseInt(status, 10), `The request is not valid HTTP: ${status.slice(4)}.`)
      .body,
  );
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const MALFORMED: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

type Service = Answers & { readonly created: number };

async function respond(
  service: Service | null,
  access: Access,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const events = new EventStream(response);
  try {
    checkAccess(access, request.headers);
    if (!service)
      throw new ApiError(503, 'The model is still loading. Try again later.', { code: 'loading' });
    await route(service, request, response, events);
  } catch (error) {
    sendError(ApiError.from(error), response, events);
  }
  response.setTimeout(LAST_BYTES_TIMEOUT, () => response.destroy());
}

function sendError(error: ApiError, response: ServerResponse, events: EventStream): void {
  if (response.destroyed) return;
  if (events.isOpen) {
    events.send(error.body);
    events.close();
    return;
  }
  // a body that was not read stands in the way of the next request
  sendJson(response, error.status, error.body, !response.req.complete);
}

function sendJson(response: ServerResponse, status: number, body: object, isLast = false): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...(isLast && { connection: 'close' }),
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
  });
  response.end(text);
}

async function route(
  service: Service,
  request: IncomingMessage,
  response: ServerResponse,
  events: EventStream,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0]!.replace(/^\/v1(?=\/)/, '');
  const prepare = PREPARED[path];
  if (prepare) {
    requireMethod(request, 'POST', path);
    await answer(service, prepare(service, await readBody(request)), response, events);
    return;
  }
  const inOnePass = IN_ONE_PASS[path];
  if (inOnePass) {
    requireMethod(request, 'POST', path);
    const body = await readBody(request);
    sendJson(response, 200, await inOnePass(service, body, goneSignal(response)));
    return;
  }
  if (path === '/tokenizer_info') {
    requireMethod(request, 'GET', path);
    sendJson(response, 200, tokenizerInfo(service.models.tokenizer));
    return;
  }
  const model = /^\/models(?:\/(?<name>.+))?$/.exec(path);
  if (!model)
    throw new ApiError(404, `There is no ${path.slice(0, 200)} here.`, { code: 'unknown_url' });
  requireMethod(request, 'GET', path);
  sendJson(response, 200, modelsAnswer(service, model.groups?.['name']));
}

const PREPARED: Readonly<Record<string, (service: Answering, body: string) => PreparedRequest>> = {
  '/chat/completions': (service, body) => prepareChat(service, chatRequest(body)),
  '/completions': (service, body) => prepareText(service, textRequest(body)),
};

type Respond = (service: Service, body: string, signal: AbortSignal) => object | Promise<object>;

const IN_ONE_PASS: Readonly<Record<string, Respond>> = {
  '/tokenize': tokenize,
  '/detokenize': detokenize,
  '/embeddings': embed,
  '/rerank': rerank,
  '/v2/rerank': rerank,
};

function requireMethod({ method = '' }: IncomingMessage, wanted: string, path: string): void {
  if (method !== wanted)
    throw new ApiError(405, `${path} needs the method ${wanted}, not ${method}.`);
}

/** The list of models, or one of them. */
function modelsAnswer({ names, created }: Service, name: string | undefined): object {
  const modelOf = (id: string) => ({ id, object: 'model', created, owned_by: 'lora' });
  if (name === undefined) return { object: 'list', data: modelIds(names).map(modelOf) };
  const id = decoded(name);
  mixOf(id, names);
  return modelOf(id);
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Aborted when the client is gone. */
function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  if (response.destroyed) gone.abort();
  return gone.signal;
}

async function answer(
  service: Answering,
  prepared: PreparedRequest,
  response: ServerResponse,
  events: EventStream,
): Promise<void> {
  const { settings, shape } = prepared;
  const begun = new Set<number>();
  const begin = (index: number) => {
    if (!begun.has(index)) events.send(...shape.begin(index));
    begun.add(index);
  };
  const completions = await complete(service, prepared, {
    signal: goneSignal(response),
    onPart: (index, part) => {
      if (!settings.stream) return;
      begin(index);
      events.send(shape.part(index, part));
    },
    onEnd: (index, completion, pending) => {
      if (!settings.stream) return;
      begin(index);
      events.send(...shape.end(index, completion, pending));
    },
  });
  if (!completions) return;
  const usage = totalUsage(completions, settings.n);
  if (!settings.stream) {
    sendJson(response, 200, shape.whole(completions, usage));
    return;
  }
  if (settings.includeUsage) events.send(shape.usage(usage));
  events.end();
}
