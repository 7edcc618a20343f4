import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { fetchFile } from '../../../../src/engine/download/fetchFile';
import { listHubFiles } from '../../../../src/engine/download/hub';
import type { Hub } from '../../../../src/engine/download/hubFetch';

const BYTES = Buffer.alloc(100_000, 7);
const FILE = {
  path: 'model.safetensors',
  size: BYTES.length,
  lfs: { oid: createHash('sha256').update(BYTES).digest('hex'), size: BYTES.length },
};

async function hubThat(answer: RequestListener): Promise<Hub> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    repository: 'owner/tiny',
    revision: 'main',
    token: null,
    signal: new AbortController().signal,
    patience: { milliseconds: 1_000, bytes: 5_000 },
  };
}

const startOf = ({ headers }: IncomingMessage) =>
  Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);

it.each([
  ['sends no more', 0],
  ['sends byte by byte', 1],
])('is ended when the Hub %s, and resumed later', async (_, trickled) => {
  let isSlow = true;
  const starts: number[] = [];
  const hub = await hubThat((request, response) => {
    const start = startOf(request);
    starts.push(start);
    response.writeHead(start === 0 ? 200 : 206);
    if (!isSlow) {
      response.end(BYTES.subarray(start));
      return;
    }
    response.write(BYTES.subarray(0, 40_000));
    const timer = setInterval(() => response.write(Buffer.alloc(trickled, 7)), 50);
    response.on('close', () => clearInterval(timer));
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'stalls-'));
  await expect(fetchFile(hub, FILE, folder, () => undefined)).rejects.toMatchObject({
    area: 'base',
    message: expect.stringMatching(
      /^The Hub is too slow: it sent (?:nothing|only \d+ bytes) in 1 s/,
    ) as unknown,
    fix: expect.stringContaining('resumes where it stopped') as unknown,
  });
  const [part = ''] = readdirSync(folder);
  const had = statSync(path.join(folder, part)).size;
  expect(had).toBeGreaterThanOrEqual(40_000);
  isSlow = false;
  await fetchFile(hub, FILE, folder, () => undefined);
  expect(starts).toEqual([0, had]);
  expect(readFileSync(path.join(folder, FILE.path)).equals(BYTES)).toBe(true);
});

it.each<[string, RequestListener]>([
  ['never answers', () => undefined],
  ['never ends its list', (_, response) => response.write('[')],
])('names a Hub that %s', async (_, answer) => {
  const hub = await hubThat(answer);
  await expect(listHubFiles(hub)).rejects.toThrow(/The Hub at http.* is too slow: it sent/);
});
