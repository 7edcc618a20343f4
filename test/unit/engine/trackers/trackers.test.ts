import { mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Trackers } from '../../../../src/engine/trackers/trackers';
import { readEvents } from '../../../../src/formats/tensorboard/events';
import type { MetricLine } from '../../../../src/shared/metrics/lines';
import { checkRecipe } from '../../../../src/shared/recipeFile';
import type { RunRecord } from '../../../../src/shared/run';

const recipeWith = (report_to: readonly string[]) =>
  checkRecipe(JSON.stringify({ base: 'b', dataset: 'd.jsonl', report_to }), '/w/lora.json');

const recordWith = (report_to: readonly string[]) =>
  ({
    id: 'run-1',
    name: 'a run',
    state: 'completed',
    base: null,
    recipe: recipeWith(report_to).recipe,
  }) as unknown as RunRecord;

const step = (number: number, loss: number): MetricLine => ({
  ...{ kind: 'step', step: number, epoch: 1, loss, grad_norm: 1, learning_rate: 1e-4, tokens: 9 },
  ...{ labelled_tokens: 4, tokens_per_second: 10, memory: 100, elapsed: number },
});
const evaluated: MetricLine = {
  ...{ kind: 'eval', step: 2, loss: 1.5, labelled_tokens: 3, elapsed: 2 },
  scores: { perplexity: 4.5 },
};

interface Asked {
  readonly url: string;
  readonly body: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
}

type Answer = (asked: Asked, response: ServerResponse) => unknown;

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

/** A server that answers each request with JSON, unless `answer` ends the response itself. */
async function serve(answer: Answer) {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
      asked.push({ url: request.url!, body, headers: request.headers });
      const value = answer(asked.at(-1)!, response);
      if (!response.writableEnded) response.end(JSON.stringify(value ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return { asked, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Feeds a tracker two steps and an evaluation. Returns what was warned of, and the folder. */
async function feed(
  names: readonly string[],
  env: NodeJS.ProcessEnv,
  { dir = mkdtempSync(path.join(tmpdir(), 'lora-run-')), resumed = null as number | null } = {},
) {
  const warned: string[] = [];
  const record = recordWith(names);
  const warn = (message: string) => warned.push(message);
  const trackers = new Trackers({ record, run_dir: dir, resumed, env, warn });
  for (const line of [step(1, 3), step(2, 2), evaluated]) trackers.add(line);
  await trackers.close(record);
  return { warned, dir };
}

const eventsIn = (dir: string) => {
  const folder = path.join(dir, 'tensorboard');
  return readdirSync(folder).map((name) => readEvents(readFileSync(path.join(folder, name))));
};

const mlflowAnswers: Answer = ({ url }, response) => {
  if (url.includes('get-by-name')) {
    response.statusCode = 404;
    return { error_code: 'RESOURCE_DOES_NOT_EXIST' };
  }
  if (url.endsWith('experiments/create')) return { experiment_id: '7' };
  const tags = [{ key: 'lora.run', value: 'run-1' }];
  return { run: { info: { run_id: 'abc' }, data: { tags } } };
};

describe('TensorBoard', () => {
  it('gets an event file in the folder of the run, and another one after a resume', async () => {
    const { warned, dir } = await feed(['tensorboard'], {});
    expect(warned).toEqual([]);
    const [{ scalars } = { scalars: [] }] = eventsIn(dir);
    const losses = scalars.filter(({ tag }) => tag === 'train/loss');
    expect(losses.map((own) => [own.step, own.value])).toEqual([
      [1, 3],
      [2, 2],
    ]);
    expect(scalars.filter(({ tag }) => tag.startsWith('eval/')).map(({ tag }) => tag)).toEqual([
      'eval/loss',
      'eval/perplexity',
    ]);
    expect(scalars.some(({ tag }) => tag.endsWith('/elapsed'))).toBe(false);
    await feed(['tensorboard'], {}, { dir, resumed: 2 });
    expect(eventsIn(dir)).toHaveLength(2);
  });
});

describe.runIf(process.platform === 'linux')('the event file of a tracker that is too slow', () => {
  const areOpen = (dir: string) =>
    readdirSync('/proc/self/fd').some((fd) => linkOf(fd).startsWith(dir));
  /** Also of what is closed meanwhile. */
  const linkOf = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  };

  it.each([0, 1])('is closed, after %i lines that were in time', async (before) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'lora-run-'));
    const record = recordWith(['tensorboard']);
    const warned: string[] = [];
    const warn = (message: string) => warned.push(message);
    const trackers = new Trackers({ record, run_dir: dir, resumed: null, env: {}, warn });
    for (let i = 0; i < before; i++) trackers.add(step(i, 1));
    if (before > 0) await expect.poll(() => areOpen(dir)).toBe(true);
    for (let i = 0; i < 1001; i++) trackers.add(step(i, 1));
    await trackers.close(record);
    expect(warned).toEqual([expect.stringContaining('it is too slow')]);
    await expect.poll(() => areOpen(dir)).toBe(false);
  });
});

describe('MLflow', () => {
  it('gets a run with its settings, its numbers and its end', async () => {
    const { asked, address } = await serve(mlflowAnswers);
    const env = { MLFLOW_TRACKING_URI: `${address}/sub`, MLFLOW_TRACKING_TOKEN: 'secret' };
    const { warned, dir } = await feed(['mlflow'], env);
    expect(warned).toEqual([]);
    expect(asked.map(({ url }) => url.replace('/sub/api/2.0/mlflow/', ''))).toEqual([
      ...['experiments/get-by-name?experiment_name=lora', 'experiments/create', 'runs/create'],
      ...['runs/log-batch', 'runs/log-batch', 'runs/log-batch', 'runs/log-batch', 'runs/update'],
    ]);
    expect(asked.every(({ headers }) => headers.authorization === 'Bearer secret')).toBe(true);
    expect(asked[2]!.body).toMatchObject({ experiment_id: '7', run_name: 'a run' });
    expect(asked[3]!.body['params']).toContainEqual({ key: 'lora.r', value: '8' });
    expect(asked[5]!.body['metrics']).toContainEqual(
      expect.objectContaining({ key: 'train/loss', value: 2, step: 2 }),
    );
    expect(asked.at(-1)!.body).toMatchObject({ run_id: 'abc', status: 'FINISHED' });
    const again = await serve(mlflowAnswers);
    await feed(['mlflow'], { MLFLOW_TRACKING_URI: again.address }, { dir, resumed: 2 });
    expect(again.asked[0]!.url).toBe('/api/2.0/mlflow/runs/get?run_id=abc');
    expect(again.asked[1]).toMatchObject({
      url: '/api/2.0/mlflow/runs/update',
      body: { run_id: 'abc', status: 'RUNNING' },
    });
    expect(again.asked.some(({ url }) => url.endsWith('runs/create'))).toBe(false);
    const other = await serve((asked, response) => {
      if (asked.url.includes('runs/get')) response.statusCode = 404;
      return mlflowAnswers(asked, response);
    });
    await feed(['mlflow'], { MLFLOW_TRACKING_URI: other.address }, { dir, resumed: 2 });
    const created = other.asked.findIndex(({ url }) => url.endsWith('runs/create'));
    expect(other.asked[created + 1]!.body).toHaveProperty('params');
  });

  it('keeps its runs that are not of this folder as they are', async () => {
    const { asked, address } = await serve((own, response) => {
      const tags = [{ key: 'lora.run', value: 'another' }];
      if (own.url.includes('runs/get')) return { run: { data: { tags } } };
      return mlflowAnswers(own, response);
    });
    const dir = mkdtempSync(path.join(tmpdir(), 'lora-run-'));
    writeFileSync(path.join(dir, 'mlflow.json'), '{"run_id": "of/others"}');
    const env = { MLFLOW_TRACKING_URI: address };
    expect((await feed(['mlflow'], env, { dir, resumed: 2 })).warned).toEqual([]);
    expect(asked[0]!.url).toBe('/api/2.0/mlflow/runs/get?run_id=of%2Fothers');
    expect(asked.filter(({ url }) => url.endsWith('runs/create'))).toHaveLength(1);
    expect(asked.some(({ body }) => body['run_id'] === 'of/others')).toBe(false);
  });
});

describe('Trackio', () => {
  it('gets the numbers under ids that a resumed run repeats', async () => {
    const { asked, address } = await serve(() => ({ data: null }));
    const env = { TRACKIO_SERVER_URL: `${address}?write_token=secret`, TRACKIO_PROJECT: 'mine' };
    expect((await feed(['trackio'], env)).warned).toEqual([]);
    expect(asked.map(({ url }) => url)).toEqual(Array(3).fill('/api/bulk_log'));
    expect(asked[0]!.headers['x-trackio-write-token']).toBe('secret');
    const logs = asked.map(
      ({ body }) => (body['kwargs'] as { logs: Record<string, unknown>[] }).logs[0]!,
    );
    expect(logs.map(({ log_id }) => log_id)).toEqual([
      'run-1-1-train',
      'run-1-2-train',
      'run-1-2-eval',
    ]);
    expect(logs[0]).toMatchObject({ project: 'mine', run: 'a run', run_id: 'run-1', step: 1 });
    expect([logs[0]!['config'], logs[1]!['config']]).toEqual([expect.anything(), null]);
  });
});

describe('a tracker that fails', () => {
  const goesOn = (name: string, reason: string) =>
    `Training continues without ${name} (report_to): ${reason}.`;

  it('is named once, and gets nothing more', async () => {
    const { asked, address } = await serve((_, response) => {
      response.statusCode = 500;
      response.end('<b>broken</b>\nfor good');
    });
    const { warned } = await feed(['mlflow'], { MLFLOW_TRACKING_URI: address });
    expect(warned).toEqual([goesOn('mlflow', 'it answers 500 <b>broken</b> for good')]);
    expect(asked).toHaveLength(1);
  });

  it('is not quoted with what is secret', async () => {
    const { address } = await serve(({ headers }, response) => {
      response.writeHead(401).end(`${'x'.repeat(180)} ${headers.authorization}`);
    });
    const env = { MLFLOW_TRACKING_URI: address, MLFLOW_TRACKING_TOKEN: 'very-secret-token' };
    const { warned } = await feed(['mlflow'], env);
    expect(warned).toEqual([goesOn('mlflow', `it answers 401 ${'x'.repeat(180)} Bearer …`)]);
  });

  it('is not followed elsewhere, and is not read for ever', async () => {
    const away = await serve((_, response) => {
      response.writeHead(302, { Location: 'http://localhost:1/' }).end();
    });
    expect((await feed(['trackio'], { TRACKIO_SERVER_URL: away.address })).warned).toEqual([
      goesOn('trackio', 'it answers 302'),
    ]);
    const long = await serve((_, response) => response.end(Buffer.alloc(3 * 2 ** 20, 'a')));
    expect((await feed(['trackio'], { TRACKIO_SERVER_URL: long.address })).warned).toEqual([
      goesOn('trackio', 'its answer is too long'),
    ]);
  });

  it('is named for an address that is missing, wrong or dead, without those of others', async () => {
    const none = await feed(['mlflow', 'trackio', 'tensorboard'], {});
    expect(none.warned.sort()).toEqual([
      goesOn('mlflow', 'MLFLOW_TRACKING_URI does not name its server'),
      goesOn('trackio', 'TRACKIO_SERVER_URL does not name its server'),
    ]);
    expect(eventsIn(none.dir)[0]?.scalars).not.toEqual([]);
    const wrong = await feed(['mlflow'], { MLFLOW_TRACKING_URI: 'sqlite:///mlflow.db' });
    expect(wrong.warned).toEqual([goesOn('mlflow', 'its address is not one of http or https')]);
    const gone = await serve(() => ({}));
    closing.splice(0).forEach((close) => close());
    const dead = await feed(['mlflow'], { MLFLOW_TRACKING_URI: gone.address });
    expect(dead.warned).toEqual([goesOn('mlflow', 'it cannot be reached (ECONNREFUSED)')]);
  });

  it('does not answer as MLflow does', async () => {
    const { address } = await serve(() => ({ run: [] }));
    expect((await feed(['mlflow'], { MLFLOW_TRACKING_URI: address })).warned).toEqual([
      goesOn('mlflow', 'it does not answer as MLflow does'),
    ]);
  });
});

describe('report_to', () => {
  it('refuses others by name', () => {
    const messages = (name: string) => recipeWith([name]).problems.map(({ message }) => message);
    expect(messages('wandb')).toEqual([
      '"report_to.0" must be "tensorboard", "mlflow" or "trackio", not "wandb".',
    ]);
    expect(messages('mlflow')).toEqual([]);
  });
});
