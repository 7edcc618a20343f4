import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const LARGE = /\.(?:safetensors|gguf)$/;

/**
 * A hub on this machine that has one model, owner/tiny: its listing with checksums, and its files
 * with ranges.
 */
export async function startHub(options) {
  let now = options;
  const starts = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://hub');
    if (now.token && request.headers.authorization !== `Bearer ${now.token}`) {
      response.writeHead(401).end();
      return;
    }
    if (url.pathname === '/api/models/owner/tiny/tree/main') {
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify(Object.entries(now.files).map(([path, bytes]) => entryOf(path, bytes))),
      );
      return;
    }
    const [, name] = /^\/owner\/tiny\/resolve\/main\/(.+)$/.exec(url.pathname) ?? [];
    const bytes = name === undefined ? undefined : now.files[name];
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    starts.push([name, start]);
    response.writeHead(request.headers.range === undefined ? 200 : 206);
    const sent = (now.tamper?.(bytes) ?? bytes).subarray(start);
    if (now.breakAfter === undefined || sent.length <= now.breakAfter) {
      response.end(sent);
      return;
    }
    response.write(sent.subarray(0, now.breakAfter), () =>
      setTimeout(() => response.destroy(), 50),
    );
  });
  await new Promise((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    endpoint: `http://127.0.0.1:${server.address().port}`,
    starts,
    change: (change) => {
      now = { ...now, ...change };
    },
    close: () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}

function entryOf(path, bytes) {
  const blob = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
  return LARGE.test(path)
    ? {
        type: 'file',
        path,
        size: bytes.length,
        oid: 'of the pointer',
        lfs: {
          oid: createHash('sha256').update(bytes).digest('hex'),
          size: bytes.length,
          pointerSize: 130,
        },
      }
    : { type: 'file', path, size: bytes.length, oid: blob };
}
