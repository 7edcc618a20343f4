import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LoraError } from '../../../../src/shared/errors';
import type { RayEntry } from '../../../../src/targets/ray/rayEntry';
import { RayTarget } from '../../../../src/targets/ray/rayTarget';
import type { JobHandle } from '../../../../src/targets/target';
import { json, startDashboard, type Reply } from '../../../support/dashboard';

const { signal } = new AbortController();
const JOB = '20260131-142501-7f3a';
const HANDLE: JobHandle = { job: JOB, values: { submission: `lora-${JOB}` } };

function targetAt(address: string, values: Partial<RayEntry> = {}, env = {}): RayTarget {
  const entry = { name: 'cluster', address, storage: null, env: [], ...values };
  const target = new RayTarget(entry, { dist: '/nowhere', env });
  onTestFinished(() => target.dispose());
  return target;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LoraError);
  expect((error as LoraError).area).toBe('target');
  return (error as LoraError).message;
}

const job = (values: object = {}): Reply =>
  json({
    submission_id: `lora-${JOB}`,
    status: 'RUNNING',
    message: null,
    error_type: null,
    driver_node_id: 'ab12',
    driver_exit_code: null,
    ...values,
  });

describe('an address that is no Ray dashboard', () => {
  it('is said to be another server, whatever it answers', async () => {
    const html: Reply = (_, response) => void response.end('<!doctype html><p>Welcome');
    for (const reply of [html, json([]), json({ ray_version: 260 }), json(null, 500)]) {
      const { address } = await startDashboard({ '/': reply });
      expect(await refusal(targetAt(address).check(signal))).toBe(
        `${address} answers, but not as a Ray dashboard does.`,
      );
    }
  });

  it('does not speak HTTP', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(Buffer.from([0x15, 0x03, 0x01, 0, 2, 2, 70, 13, 10, 13, 10]));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await refusal(targetAt(address).check(signal))).toBe(`${address} does not speak HTTP.`);
  });

  it('refuses the connection', async () => {
    expect(await refusal(targetAt('http://127.0.0.1:9').check(signal))).toBe(
      'http://127.0.0.1:9 refuses the connection: nothing listens there.',
    );
  });

  it('is not followed where it redirects to, and gets no token there', async () => {
    const other = await startDashboard({});
    const { address } = await startDashboard({
      '/': (_, response) => void response.writeHead(302, { Location: `${other.address}/` }).end(),
    });
    const target = targetAt(address, { token: 'TOKEN' }, { TOKEN: 'secret' });
    expect(await refusal(target.check(signal))).toContain('it is not followed');
    expect(other.asked).toEqual([]);
  });

  it.each(['http://[', 'ftp://head:8265', 'http://user:secret@head:8265'])(
    'is not %s',
    (address) => {
      expect(() => targetAt(address)).toThrow('no address that a Ray dashboard can have');
    },
  );

  it('refuses access', async () => {
    const { address } = await startDashboard({ '/': json({}, 401) });
    expect(await refusal(targetAt(address).check(signal))).toBe(`${address} refuses access (401).`);
  });
});

describe('a token', () => {
  it('is sent with each request', async () => {
    const seen: (string | undefined)[] = [];
    const { address } = await startDashboard({
      '/api/version': (request, response) => {
        seen.push(request.headers.authorization);
        json({ ray_version: '2.60.0' })(request, response);
      },
    });
    await targetAt(address, { token: 'TOKEN' }, { TOKEN: 'secret' }).clock(signal);
    expect(seen).toEqual(['Bearer secret']);
  });

  it('must be set', () => {
    expect(() => targetAt('http://127.0.0.1:9', { token: 'TOKEN' })).toThrow(
      'The environment variable TOKEN is not set here.',
    );
  });
});

describe('a hostile answer', () => {
  it('is cut off where it is larger than such answers are', async () => {
    const { address } = await startDashboard({
      '/api/jobs/': (_, response) => {
        const chunk = Buffer.alloc(2 ** 20, 32);
        const write = () => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', write).on('error', () => undefined);
        write();
      },
    });
    expect(await refusal(targetAt(address).jobs(signal))).toContain('more than it was asked for');
  });

  it('does not reach the terminal as it is', async () => {
    const { address } = await startDashboard({
      '/api/jobs/': (_, response) =>
        void response.writeHead(500).end(`Traceback\n\u001b[31m${'x'.repeat(10_000)}`),
    });
    const message = await refusal(targetAt(address).state(HANDLE, signal));
    expect(message).toContain('\\u001b[31mxxx');
    expect(message.length).toBeLessThan(500);
  });

  it('ends when the caller gives up, though it never ends itself', async () => {
    const { address } = await startDashboard({
      '/api/jobs/': (_, response) => {
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    await expect(targetAt(address).jobs(controller.signal)).rejects.toMatchObject({
      area: 'cancelled',
    });
  });

  it.each([
    ['a state that there is not', { status: 'DANCING' }],
    ['a number for a text', { driver_node_id: 7 }],
  ])('is refused with %s', async (_, values) => {
    const { address } = await startDashboard({ '/api/jobs/': job(values) });
    expect(await refusal(targetAt(address).state(HANDLE, signal))).toContain('not as a Ray');
  });

  it('names only submissions that are ours among the jobs', async () => {
    const ids = [`lora-${JOB}`, `lora-${JOB}-2`, `lora-${JOB}-x`, 'other', '../lora', null];
    const { address } = await startDashboard({
      '/api/jobs/': json(ids.map((submission_id) => ({ submission_id }))),
    });
    expect(await targetAt(address).jobs(signal)).toEqual([
      { job: JOB, values: { submission: `lora-${JOB}-2` } },
    ]);
  });
});

describe('a list of files', () => {
  const file = (values: object = {}) => ({
    path: 'run.json',
    size: 3,
    version: '1',
    sha256: null,
    ...values,
  });
  const listing = (files: unknown) =>
    startDashboard({ '/api/jobs/': job(), '/api/v0/logs/file': json({ files }) });

  it.each([
    ['a path out of the folder', [file({ path: '../../etc/passwd' })]],
    ['an absolute path', [file({ path: '/etc/passwd' })]],
    ['a negative size', [file({ size: -1 })]],
    ['a size that is no whole number', [file({ size: 1e300 })]],
    ['a hash that is none', [file({ sha256: 'x' })]],
    ['too many files', Array.from({ length: 10_001 }, (_, i) => file({ path: `${i}` }))],
    ['no list', 'files'],
  ])('is refused with %s', async (_, files) => {
    const { address } = await listing(files);
    expect(await refusal(targetAt(address).list(HANDLE, signal))).toBe(
      'The cluster sent a list of files that is not valid.',
    );
  });

  it('is empty before the job has begun', async () => {
    const { address } = await startDashboard({ '/api/jobs/': job({ driver_node_id: null }) });
    expect(await targetAt(address).list(HANDLE, signal)).toEqual([]);
  });

  it('is that of the node which the cluster names, and of no other submission', async () => {
    const { address } = await listing([file()]);
    expect(await targetAt(address).list(HANDLE, signal)).toEqual([
      { path: 'run.json', size: 3, version: '1' },
    ]);
    const foreign = { job: JOB, values: { submission: '../../jobs' } };
    expect(await refusal(targetAt(address).list(foreign, signal))).toBe(
      'The job is none of a Ray cluster.',
    );
  });

  it('leads to a file of which no more is read than asked for', async () => {
    const { address } = await startDashboard({
      '/api/jobs/': job(),
      '/api/v0/logs/file': (request, response) => {
        const isList = request.url!.includes('files.json');
        if (isList) json({ files: [file()] })(request, response);
        else response.end('0123456789'.repeat(1000));
      },
    });
    const target = targetAt(address);
    const read = (offset: number, maxBytes: number) =>
      target.read(HANDLE, 'run.json', { offset, maxBytes }, signal);
    expect((await read(0, 4)).toString()).toBe('0123');
    expect(Buffer.from(await read(1, 4)).toString()).toBe('1234');
  });

  it('says that the node is lost where it does not answer any more', async () => {
    const { address } = await startDashboard({
      '/api/jobs/': job(),
      '/api/v0/logs/file': (_, response) =>
        void response.writeHead(500).end("Agent for node id: ab12 doesn't exist."),
    });
    expect(await refusal(targetAt(address).list(HANDLE, signal))).toBe(
      'The node that has the files of the run does not answer.',
    );
  });
});
