import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listHubFiles, requestHubFile } from '../../../../src/engine/download/hub';
import type { Hub } from '../../../../src/engine/download/hubFetch';
import { planDownload, type HubFile } from '../../../../src/engine/download/plan';

/** A hub on the loopback that answers as told. `asked`: the requests so far. */
async function hubThat(answer: RequestListener) {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hub: Hub = {
    endpoint,
    repository: 'owner/tiny',
    revision: 'main',
    token: 'hf_secret',
    signal: new AbortController().signal,
  };
  return { hub, asked };
}

const file = (path: string, more: Partial<HubFile> = {}): HubFile => ({
  path,
  size: 3,
  oid: 'a'.repeat(40),
  ...more,
});
const listed = (...entries: readonly unknown[]): RequestListener => {
  return (_, response) => response.end(JSON.stringify(entries));
};

describe('the list of a repository', () => {
  it('is never continued on another host, which would get the token', async () => {
    const other = await hubThat(listed());
    const { hub } = await hubThat((_, response) => {
      response.setHeader('Link', `<${other.hub.endpoint}/next>; rel="next"`);
      response.end('[]');
    });
    await expect(listHubFiles(hub)).rejects.toThrow('continues its list at');
    expect(other.asked).toEqual([]);
  });

  it('has a bounded number of pages', async () => {
    const { hub, asked } = await hubThat((request, response) => {
      response.setHeader('Link', `<${hub.endpoint}${request.url!}>; rel="next"`);
      response.end('[]');
    });
    await expect(listHubFiles(hub)).rejects.toThrow('is too long');
    expect(asked).toHaveLength(200);
  });

  it('has a bounded size', async () => {
    const { hub } = await hubThat((_, response) => {
      const more = () => {
        while (response.write(Buffer.alloc(2 ** 20, ' ')));
      };
      response.on('drain', more);
      more();
    });
    await expect(listHubFiles(hub)).rejects.toThrow('is too long');
  });

  it.each([
    [{ path: 7, size: 1 }],
    [{ path: 'a', size: -1 }],
    [{ path: 'a', size: 1.5 }],
    [{ path: 'a', size: 1e300 }],
    [{ path: 'a', size: 1, lfs: { oid: 'b', size: '9' } }],
    [{ path: 'a', size: 1, oid: {} }],
    [{ path: 'a'.repeat(5000), size: 1 }],
  ])('is refused with the entry %j', async (entry) => {
    const { hub } = await hubThat(listed({ type: 'file', ...entry }));
    await expect(listHubFiles(hub)).rejects.toThrow('is damaged');
  });

  it('survives an answer that is nested deeply', async () => {
    const { hub } = await hubThat((_, response) => response.end('['.repeat(1e6)));
    await expect(listHubFiles(hub)).rejects.toMatchObject({ area: 'base' });
  });
});

describe('a file of a repository', () => {
  it.each([
    'file:///etc/passwd',
    'ftp://example.com/x',
    'data:text/plain,abc',
    'http://localhost/x',
    'http://169.254.169.254/latest',
    'http://[::1]/x',
    'http://3232235777/x',
    'https://intranet/x',
    'https://router.local/x',
    'http://localhost./x',
    'https://intranet./x',
    'https://nas.home.arpa/x',
    'https://user:password@example.com/x',
    'http://[bad',
  ])('is not fetched from %s', async (location) => {
    const { hub, asked } = await hubThat((_, response) =>
      response.writeHead(302, { location }).end(),
    );
    await expect(requestHubFile(hub, file('a'), 0)).rejects.toThrow('The Hub redirects to');
    expect(asked).toHaveLength(1);
  });

  it('is not fetched through endless redirects', async () => {
    const { hub, asked } = await hubThat((_, response) =>
      response.writeHead(302, { location: '/again' }).end(),
    );
    await expect(requestHubFile(hub, file('a'), 0)).rejects.toThrow('more than 5 times');
    expect(asked).toHaveLength(6);
  });

  it('is fetched from another server of the host without the token', async () => {
    const other = await hubThat((_, response) => response.end('abc'));
    const { hub, asked } = await hubThat((_, response) =>
      response.writeHead(302, { location: `${other.hub.endpoint}/abc` }).end(),
    );
    const response = await requestHubFile(hub, file('a b?'), 1);
    expect(await response.text()).toBe('abc');
    expect(asked[0]!.headers.authorization).toBe('Bearer hf_secret');
    expect(asked[0]!.url).toBe('/owner/tiny/resolve/main/a%20b%3F');
    expect(other.asked[0]!.headers).not.toHaveProperty('authorization');
    expect(other.asked[0]!.headers.range).toBe('bytes=1-');
  });
});

describe('a download', () => {
  const plan = (...files: readonly HubFile[]) =>
    planDownload([file('config.json'), file('model.safetensors'), ...files], {
      repository: 'owner/tiny',
      file: null,
    });

  it.each([
    [{ oid: undefined }],
    [{ oid: 'of the pointer' }],
    [{ lfs: { oid: 'a'.repeat(40), size: 3 } }],
  ])('is refused if a file has no checksum: %j', (more) => {
    expect(() => plan(file('tokenizer.json', more))).toThrow('names no checksum');
  });

  it('is refused if two files would have the same name on some disks', () => {
    expect(() => plan(file('Config.json'))).toThrow('two files of this name');
  });

  it.each([
    '../x.gguf',
    '/x.gguf',
    'C:x.gguf',
    'a/../x.gguf',
    '../a/x.gguf',
    'a//x.gguf',
    'a/NUL/x.gguf',
    '.a/x.gguf',
    String.raw`a\x.gguf`,
    'NUL.gguf',
    'com1.x.gguf',
    'con.gguf',
    `${'a'.repeat(250)}.gguf`,
    'x..gguf',
    '.x.gguf',
  ])('takes no file of the name %s', (name) => {
    expect(() => planDownload([file(name)], { repository: 'owner/tiny', file: name })).toThrow(
      'has no file',
    );
  });
});
