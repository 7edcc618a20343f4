import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameReader, writeFrame, type Frame } from '../../../../src/targets/agent/frames';

const settled = () => new Promise((resolve) => setImmediate(resolve));

it('reads messages and their bytes however the stream cuts them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 30 }),
      async (bodies, cut) => {
        const [source, stream] = [new PassThrough(), new PassThrough()];
        bodies.forEach((body, id) => writeFrame(source, { id, text: '\u2028\n' }, body));
        const bytes = (source.read() as Buffer | null) ?? Buffer.alloc(0);
        const frames: Frame[] = [];
        new FrameReader(stream, (frame) => frames.push(frame));
        for (let at = 0; at < bytes.length; at += cut) stream.write(bytes.subarray(at, at + cut));
        await settled();
        expect(frames.map(({ header }) => header['id'])).toEqual(bodies.map((_, id) => id));
        expect(frames.map(({ body }) => [...body])).toEqual(bodies.map((body) => [...body]));
      },
    ),
    { numRuns: 50 },
  );
});

it('leaves what follows a message to the next reader', async () => {
  const stream = new PassThrough();
  const frames: Frame[] = [];
  const reader: FrameReader = new FrameReader(stream, (frame) => {
    frames.push(frame);
    rest = reader.release();
  });
  let rest: Buffer = Buffer.alloc(0);
  stream.write('{"id":1,"bytes":0}\nContent-Length: 2');
  await settled();
  expect([frames.length, rest.toString()]).toEqual([1, 'Content-Length: 2']);
});

it.each(['no JSON\n', '[]\n', '{"bytes":-1}\n', '{"bytes":1e9}\n', '{}\n', 'null\n'])(
  'ends a stream with %j',
  async (text) => {
    const stream = new PassThrough();
    let failure: unknown = null;
    stream.on('error', (error) => {
      failure = error;
    });
    new FrameReader(stream, () => undefined);
    stream.write(text);
    await settled();
    expect(failure).toBeInstanceOf(Error);
  },
);
