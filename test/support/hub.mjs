import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const LARGE = /\.(?:safetensors|gguf|parquet)$/;
const CONVERTED = '/api/datasets/owner/rows/revision/refs%2Fconvert%2Fparquet';

/**
 * A local hub with one model, owner/tiny, and maybe one dataset, owner/rows: lists their files with
 * checksums and serves them, also from an offset.
 */
export async function startHub(options) {
  let settings = options;
  const starts = [];
  const server = createServer((request, response) => {
    const { token, files } = settings;
    const { pathname, searchParams } = new URL(request.url, 'http://hub');
    if (token && request.headers.authorization !== `Bearer ${token}`) {
      response.writeHead(401).end();
      return;
    }
    if (pathname === '/api/models/owner/tiny/tree/main') {
      const isListed = (path) => searchParams.get('recursive') === 'true' || !/^\w.*\//.test(path);
      const entries = Object.entries(files)
        .filter(([path]) => isListed(path))
        .map(([path, bytes]) => entryOf(path, bytes));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(entries));
      return;
    }
    if (settings.dataset && sendDataset(request, response, settings, starts)) return;
    const [, name] = /^\/owner\/tiny\/resolve\/main\/(.+)$/.exec(pathname) ?? [];
    if (name === undefined || !files[name]) {
      response.writeHead(404).end();
      return;
    }
    starts.push([name, sendFile(request, response, files[name], settings)]);
  });
  await new Promise((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    endpoint: `http://127.0.0.1:${server.address().port}`,
    starts,
    change: (change) => {
      settings = { ...settings, ...change };
    },
    close: () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}

/** Answers what is asked of the dataset owner/rows. Returns whether anything was. */
function sendDataset(request, response, settings, starts) {
  const { commit, files } = settings.dataset;
  const { pathname } = new URL(request.url, 'http://hub');
  const json = (value) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
    return true;
  };
  if (pathname === CONVERTED) return json({ sha: commit });
  if (pathname === `/api/datasets/owner/rows/tree/${commit}`)
    return json(Object.entries(files).map(([path, bytes]) => entryOf(path, bytes)));
  const prefix = `/datasets/owner/rows/resolve/${commit}/`;
  const name = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : '';
  if (!files[name]) return false;
  starts.push([name, sendFile(request, response, files[name], settings)]);
  return true;
}

/** Sends a file, or only its beginning if the connection breaks. Returns its first offset. */
function sendFile(request, response, bytes, { tamper, breakAfter }) {
  const { range } = request.headers;
  const start = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  const sent = (tamper?.(bytes) ?? bytes).subarray(start);
  response.writeHead(range === undefined ? 200 : 206);
  if (breakAfter === undefined || sent.length <= breakAfter) {
    response.end(sent);
  } else {
    response.write(sent.subarray(0, breakAfter), () => setTimeout(() => response.destroy(), 50));
  }
  return start;
}

/** A file in the Hub's listing, with its checksum. */
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
