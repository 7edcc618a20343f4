import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
/** What the Hub answers instead, by the last part of the path; undefined: as usual. */
export type Misbehaviour = (place: string, usual: Answer) => Answer | undefined;

interface Repository {
  private: boolean;
  readonly files: Map<string, Buffer>;
  commits: number;
}

/** A hub on this machine to which adapters are uploaded. */
export interface PushHub {
  readonly endpoint: string;
  readonly repositories: ReadonlyMap<string, Repository>;
  /** Method and path of each request. */
  readonly requests: readonly string[];
  /** The requests whose authorization went to the storage of large files. */
  readonly leaked: readonly string[];
  misbehave: (how: Misbehaviour | null) => void;
  close: () => Promise<void>;
}

const TOKEN = 'Bearer hf_test';

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The Hub's interface for writing: repositories, git-lfs, commits. */
class Hub {
  readonly repositories = new Map<string, Repository>();
  readonly requests: string[] = [];
  readonly leaked: string[] = [];
  private readonly storage = new Map<string, Buffer>();
  misbehaviour: Misbehaviour | null = null;
  endpoint = '';

  async answer(request: IncomingMessage): Promise<Answer> {
    const place = `${request.method!} ${request.url!}`;
    this.requests.push(place);
    const body = await bodyOf(request);
    const isStorage = request.url!.startsWith('/storage/');
    if (isStorage && request.headers.authorization !== undefined) this.leaked.push(place);
    if (!isStorage && request.headers.authorization !== TOKEN) return { status: 401 };
    const usual = this.usual(place, body);
    return this.misbehaviour?.(place, usual) ?? usual;
  }

  private usual(place: string, body: Buffer): Answer {
    const [, stored] = /^PUT \/storage\/(\w+)$/.exec(place) ?? [];
    if (stored !== undefined) {
      const isWhole = createHash('sha256').update(body).digest('hex') === stored;
      if (isWhole) this.storage.set(stored, body);
      return { status: isWhole ? 200 : 400 };
    }
    if (place === 'POST /verify') return {};
    if (place === 'POST /api/repos/create') return this.create(body);
    const [, name] = /^GET \/api\/models\/([\w.-]+\/[\w.-]+)$/.exec(place) ?? [];
    if (name !== undefined) {
      const found = this.repositories.get(name);
      return found ? { body: { id: name, private: found.private } } : { status: 404 };
    }
    if (place.endsWith('/preupload/main')) return preupload(body);
    if (place.endsWith('.git/info/lfs/objects/batch')) return this.batch(body);
    const [, into] = /^POST \/api\/models\/(.+)\/commit\/main$/.exec(place) ?? [];
    return into === undefined ? { status: 404 } : this.commit(this.repositories.get(into)!, body);
  }

  private create(body: Buffer): Answer {
    const asked = JSON.parse(body.toString()) as Record<string, string>;
    const name = `${asked['organization']!}/${asked['name']!}`;
    if (this.repositories.has(name)) return { status: 409 };
    const isPrivate = asked['visibility'] === 'private';
    this.repositories.set(name, { private: isPrivate, files: new Map(), commits: 0 });
    return { body: { url: `${this.endpoint}/${name}` } };
  }

  private batch(body: Buffer): Answer {
    const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
    const answers = objects.map(({ oid, size }) =>
      this.storage.has(oid)
        ? { oid, size }
        : {
            oid,
            size,
            actions: {
              upload: { href: `${this.endpoint}/storage/${oid}` },
              verify: { href: `${this.endpoint}/verify`, header: { 'x-own': '1' } },
            },
          },
    );
    return { body: { transfer: 'basic', objects: answers } };
  }

  private commit(repository: Repository, body: Buffer): Answer {
    const lines = body.toString().split('\n');
    for (const line of lines.slice(1)) {
      const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
      const content =
        key === 'lfsFile'
          ? this.storage.get(value['oid']!)
          : Buffer.from(value['content']!, 'base64');
      if (!content) return { status: 400 };
      repository.files.set(value['path']!, content);
    }
    repository.commits++;
    return { body: { success: true, commitOid: 'a'.repeat(40) } };
  }
}

function preupload(body: Buffer): Answer {
  const { files } = JSON.parse(body.toString()) as { files: { path: string }[] };
  const modes = files.map(({ path }) => ({
    path,
    uploadMode: path.endsWith('.safetensors') ? 'lfs' : 'regular',
    shouldIgnore: false,
  }));
  return { body: { files: modes } };
}

export async function startPushHub(): Promise<PushHub> {
  const hub = new Hub();
  const server = createServer((request, response) => {
    void hub.answer(request).then(({ status = 200, body = {}, headers = {} }) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  hub.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { endpoint, repositories, requests, leaked } = hub;
  return {
    endpoint,
    repositories,
    requests,
    leaked,
    misbehave: (how) => {
      hub.misbehaviour = how;
    },
    close: () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}
