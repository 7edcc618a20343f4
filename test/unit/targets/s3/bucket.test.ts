import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LoraError } from '../../../../src/shared/errors';
import { Bucket } from '../../../../src/targets/s3/bucket';
import { parseListing } from '../../../../src/targets/s3/listing';
import { bucketPlace } from '../../../../src/targets/s3/place';
import { TargetUnreachable } from '../../../../src/targets/targetError';
import { failing, startObjectStore } from '../../../support/objectStore';

const { signal } = new AbortController();
const KEY = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'a-secret-key' };
const SETTINGS = { url: 's3://bucket/some/prefix', endpoint: null, region: null };

async function open(change: object = {}) {
  const store = await startObjectStore();
  const settings = { ...SETTINGS, endpoint: store.address, ...change };
  return { store, bucket: Bucket.open(settings, KEY, [0, 0, 0]) };
}

async function refusal(work: Promise<unknown>): Promise<LoraError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LoraError);
  return error as LoraError;
}

describe('a bucket', () => {
  it('keeps objects below its prefix', async () => {
    const { store, bucket } = await open();
    await bucket.put('a/one', Buffer.from('first'), signal);
    expect([...store.objects]).toEqual([['bucket/some/prefix/a/one', Buffer.from('first')]]);
    expect(await bucket.get('a/one', 5, signal)).toEqual(Buffer.from('first'));
    const range = { offset: 1, maxBytes: 3 };
    expect(await bucket.getRange('a/one', range, signal)).toEqual(Buffer.from('irs'));
    expect(await bucket.get('a/two', 5, signal)).toBeNull();
    await bucket.remove('a/one', signal);
    await bucket.remove('a/one', signal);
    expect(store.objects.size).toBe(0);
  });

  it('lists all pages of a folder', async () => {
    const { bucket } = await open();
    const names = ['a/1', 'a/2 & +3', 'a/ü', 'a/4', 'a/5'];
    for (const name of [...names, 'b/1']) await bucket.put(name, Buffer.from(name), signal);
    const listed = await bucket.list('a/', signal);
    expect(listed.map(({ key }) => key).sort()).toEqual(names.toSorted());
    expect(listed[0]!.changed).toBe(Date.parse('2026-01-31T14:25:01Z'));
  });

  it('is asked by signed requests, without its secret', async () => {
    const { store, bucket } = await open();
    await bucket.put('one', Buffer.from('first'), signal);
    const [headers] = store.headers;
    expect(headers!.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/,
    );
    expect(JSON.stringify(store.headers)).not.toContain(KEY.AWS_SECRET_ACCESS_KEY);
  });

  it('is asked again when it is busy, a few times', async () => {
    const { store, bucket } = await open();
    store.faults.push(failing(503, 'SlowDown'), (request) => void request.socket.destroy());
    await bucket.put('one', Buffer.from('first'), signal);
    expect(store.asked.length).toBe(3);
    store.faults.push(...Array.from({ length: 4 }, () => failing(500, 'InternalError')));
    const error = await refusal(bucket.get('one', 5, signal));
    expect(error).toBeInstanceOf(TargetUnreachable);
    expect(error.message).toMatch(/is too busy \(500\)\.$/);
    expect(store.asked.length).toBe(7);
  });

  it.each([
    [404, 'NoSuchBucket', {}, /^There is no bucket bucket at 127\.0\.0\.1/],
    [403, 'AccessDenied', {}, /^The bucket bucket refuses access\.$/],
    [403, '', {}, /^The bucket bucket refuses access\.$/],
    [403, 'InvalidAccessKeyId', {}, /does not accept the key in AWS_ACCESS_KEY_ID/],
    [403, 'SignatureDoesNotMatch', {}, /does not accept the key in AWS_ACCESS_KEY_ID/],
    [400, 'ExpiredToken', {}, /^The key for the bucket has expired\.$/],
    [301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' }, /but in eu-west-1\.$/],
    [418, 'Teapot', {}, /answers 418 \(Teapot\), which is no answer for the bucket/],
  ])('says what is wrong: %i %s', async (status, code, headers, sentence) => {
    const { store, bucket } = await open();
    for (const ask of [
      () => bucket.get('one', 5, signal),
      () => bucket.put('one', Buffer.from('1'), signal),
      () => bucket.list('', signal),
      () => bucket.probe(signal),
    ]) {
      store.faults.push(failing(status, code, headers));
      const error = await refusal(ask());
      expect(error.message).toMatch(sentence);
      expect(error.area).toBe('target');
    }
    expect(store.asked.length).toBe(4);
  });

  it('says by how much the clock is off', async () => {
    const { store, bucket } = await open();
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    store.faults.push(failing(403, 'RequestTimeTooSkewed', { date }));
    expect((await refusal(bucket.probe(signal))).message).toMatch(
      /since the clock of this machine is 60 min behind\.$/,
    );
  });

  it('sends no more than it was asked for', async () => {
    const { store, bucket } = await open();
    await bucket.put('one', Buffer.alloc(100), signal);
    expect((await refusal(bucket.get('one', 99, signal))).message).toContain('more than it was');
    store.faults.push((_, response) => void response.end('<html>'));
    expect((await refusal(bucket.list('', signal))).message).toContain('is not valid');
  });

  it('cannot be reached where nothing listens', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    onTestFinished(() => undefined);
    const settings = { ...SETTINGS, endpoint: `http://127.0.0.1:${port}` };
    const error = await refusal(Bucket.open(settings, KEY, []).probe(signal));
    expect(error).toBeInstanceOf(TargetUnreachable);
    expect(error.message).toMatch(/refuses the connection: nothing listens there\.$/);
  });

  it('is cancelled', async () => {
    const { bucket } = await open();
    const error = await refusal(bucket.probe(AbortSignal.abort()));
    expect(error.area).toBe('cancelled');
  });
});

describe('where a bucket is', () => {
  const place = (change: object = {}, env = {}) => bucketPlace({ ...SETTINGS, ...change }, env);

  it('is said by the target, else by the variables of AWS', () => {
    const { endpoint, region, bucket, prefix } = place();
    expect([endpoint.href, region, bucket, prefix]).toEqual([
      'https://s3.us-east-1.amazonaws.com/',
      'us-east-1',
      'bucket',
      'some/prefix/',
    ]);
    const env = { AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL: 'http://store:9000' };
    expect(place({}, env)).toMatchObject({ region: 'eu-west-1' });
    expect(place({}, env).endpoint.href).toBe('http://store:9000/');
    const own = place({ endpoint: 'https://other', region: 'x-1', url: 's3://a.b-c/' }, env);
    expect([own.endpoint.href, own.region, own.bucket, own.prefix]).toEqual([
      'https://other/',
      'x-1',
      'a.b-c',
      '',
    ]);
  });

  it.each(['s3://', 's3://A', 's3://ab/../c', 's3://abc/a b', 's3://abc//d', 'http://abc'])(
    'is not %j',
    (url) => expect(() => place({ url })).toThrow(/is no address such as/),
  );

  it('has no password', () => {
    expect(() => place({ endpoint: 'https://me:secret@host' })).toThrow(
      'The endpoint of the storage is no address of a server.',
    );
  });

  it('needs a key', () => {
    expect(() => Bucket.open(SETTINGS, { AWS_ACCESS_KEY_ID: 'one' })).toThrow(
      'The environment variable AWS_SECRET_ACCESS_KEY is not set: the bucket needs it.',
    );
  });
});

describe('a list of objects', () => {
  it.each([
    '',
    '<Error/>',
    '<ListBucketResult><Contents><Key>other/a</Key><Size>1</Size></Contents></ListBucketResult>',
    '<ListBucketResult><Contents><Key>own/a</Key><Size>-1</Size></Contents></ListBucketResult>',
    '<ListBucketResult><Contents><Key>own/%</Key><Size>1</Size></Contents></ListBucketResult>',
  ])('is not %j', (xml) => expect(() => parseListing(xml, 'own/')).toThrow(/is not valid/));
});
