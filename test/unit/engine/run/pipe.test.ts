import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { PipeServer, type Handlers } from '../../../../src/engine/run/pipe';

const refuse = () => {
  throw new Error('not asked');
};
const HANDLERS: Handlers = {
  status: refuse,
  pause: refuse,
  resume: refuse,
  stop: refuse,
  checkpoint: refuse,
  generate: refuse,
  stop_when_alone: refuse,
};

test('a client that reads nothing does not make the engine keep all notifications', async () => {
  const pipe = await PipeServer.listen(HANDLERS, () => undefined);
  onTestFinished(() => pipe.close());
  const client = connect(pipe.path);
  onTestFinished(() => void client.destroy());
  await once(client, 'connect');
  await new Promise(setImmediate);
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 50_000; i++) {
    pipe.notify('log', { level: 'info', message: randomBytes(4_000).toString('hex') });
    if (i % 1_000 === 0) await new Promise(setImmediate);
  }
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200e6);
  client.resume();
  await once(client, 'data');
});
