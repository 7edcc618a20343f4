import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** What a storage answers to one request, instead of what it has. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => void;

/** A storage that speaks as much of S3 as is used, with objects in memory. */
export interface ObjectStore {
  readonly address: string;
  /** By bucket and key. */
  readonly objects: Map<string, Buffer>;
  /** 'GET /bucket/key' of each request. */
  readonly asked: string[];
  readonly headers: IncomingMessage['headers'][];
  /** Answers to the next requests. */
  readonly faults: Fault[];
}

/** An answer with a code of S3. */
export const failing =
  (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Fault =>
  (_, response) =>
    void response.writeHead(status, headers).end(`<Error><Code>${code}</Code></Error>`);

/** Starts a storage with one bucket, 'bucket', until the test has ended. */
export async function startObjectStore(): Promise<ObjectStore> {
  const store = {
    objects: new Map<string, Buffer>(),
    asked: [] as string[],
    headers: [] as IncomingMessage['headers'][],
    faults: [] as Fault[],
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://store');
      store.asked.push(`${request.method} ${url.pathname}`);
      store.headers.push(request.headers);
      const fault = store.faults.shift();
      if (fault) fault(request, response);
      else answer(store.objects, { request, url, body: Buffer.concat(chunks) }, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ...store, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

interface Asked {
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly body: Buffer;
}

function answer(
  objects: Map<string, Buffer>,
  { request, url, body }: Asked,
  response: ServerResponse,
) {
  const name = decodeURIComponent(url.pathname).slice(1);
  if (!/^bucket(?:\/|$)/.test(name)) {
    failing(404, 'NoSuchBucket')(request, response);
    return;
  }
  if (name === 'bucket') {
    response.end(listing(objects, url.searchParams));
    return;
  }
  if (request.method === 'PUT') objects.set(name, body);
  if (request.method === 'DELETE') objects.delete(name);
  if (request.method !== 'GET') {
    response.writeHead(request.method === 'PUT' ? 200 : 204).end();
    return;
  }
  const content = objects.get(name);
  if (content === undefined) {
    failing(404, 'NoSuchKey')(request, response);
    return;
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined) response.end(content);
  else response.writeHead(206).end(content.subarray(Number(from), Number(to) + 1));
}

/** Pages of two objects. */
function listing(objects: Map<string, Buffer>, query: URLSearchParams): string {
  const prefix = `bucket/${query.get('prefix') ?? ''}`;
  const after = query.get('continuation-token') ?? '';
  const names = [...objects.keys()]
    .sort()
    .filter((name) => name.startsWith(prefix) && name > after);
  const entries = names.slice(0, 2).map((name) => {
    const key = encodeURIComponent(name.slice('bucket/'.length));
    const size = objects.get(name)!.length;
    return `<Contents><Key>${key}</Key><LastModified>2026-01-31T14:25:01.000Z</LastModified><Size>${size}</Size></Contents>`;
  });
  const next = names.length > 2 ? `<NextContinuationToken>${names[1]}</NextContinuationToken>` : '';
  return `<?xml version="1.0"?><ListBucketResult>${entries.join('')}${next}</ListBucketResult>`;
}
