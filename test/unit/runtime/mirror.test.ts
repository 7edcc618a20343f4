import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { PLATFORM_PINS } from '../../../src/runtime/pins';
import { makePlace, write, type Place } from '../../support/runtimePlace';

const FILE = 'tensorflow_cpu-2.18.1-cp311-cp311-any.whl';

/** A machine without Python, whose wheel has a name. */
function machineWithoutPython() {
  const place = makePlace();
  const [wheel] = place.pin.wheels;
  const pin = { ...place.pin, wheels: [{ ...wheel, file: FILE }] as const };
  return { place, pin, bytes: readFileSync(path.join(place.root, 'pinned.whl')) };
}

type Machine = ReturnType<typeof machineWithoutPython>;

const install = ({ place, pin }: Machine, url: string) =>
  installRuntime({ ...place.runtime, url }, place.options(), { ...place.machine, pin });

/** A server on this machine; gives its address and the ranges that were asked for. */
async function serve(answer: RequestListener) {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response);
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/wheels`, ranges };
}

const partial = (place: Place) => path.join(place.runtime.home, 'downloads', `${FILE}.part`);

describe('a mirror of the runtime', () => {
  it('is enough where there is no Python, and leaves no download', async () => {
    const machine = machineWithoutPython();
    const { address } = await serve((request, response) => {
      response.statusCode = request.url === `/wheels/${FILE}` ? 200 : 404;
      response.end(machine.bytes);
    });
    expect(await install(machine, address)).toMatchObject({
      source: 'mirror',
      why: `The pinned TensorFlow 2.18.1, from ${address}, which the setting lora.runtime.url names.`,
    });
    expect(readdirSync(path.join(machine.place.runtime.home, 'downloads'))).toEqual([]);
  });

  it('continues an interrupted download', async () => {
    const machine = machineWithoutPython();
    write(partial(machine.place), machine.bytes.subarray(0, 100));
    const { address, ranges } = await serve((_, response) => {
      response.writeHead(206).end(machine.bytes.subarray(100));
    });
    expect(await install(machine, address)).toMatchObject({ source: 'mirror' });
    expect(ranges).toEqual(['bytes=100-']);
  });

  it('begins again if the server sends the whole file', async () => {
    const machine = machineWithoutPython();
    write(partial(machine.place), 'what another version left');
    const { address } = await serve((_, response) => response.end(machine.bytes));
    expect(await install(machine, address)).toMatchObject({ source: 'mirror' });
  });

  it('begins again if the server refuses to continue', async () => {
    const machine = machineWithoutPython();
    write(partial(machine.place), machine.bytes.subarray(0, 100));
    const { address, ranges } = await serve(({ headers }, response) => {
      if (headers.range === undefined) response.end(machine.bytes);
      else response.writeHead(416).end();
    });
    expect(await install(machine, address)).toMatchObject({ source: 'mirror' });
    expect(ranges).toEqual(['bytes=100-', undefined]);
  });

  it('goes on where the server begins, and refuses one that leaves out a part', async () => {
    const machine = machineWithoutPython();
    const total = machine.bytes.length;
    let start = 150;
    const { address } = await serve((_, response) => {
      const headers = { 'content-range': `bytes ${start}-${total - 1}/${total}` };
      response.writeHead(206, headers).end(machine.bytes.subarray(start));
    });
    write(partial(machine.place), machine.bytes.subarray(0, 100));
    await expect(install(machine, address)).rejects.toThrow(/leaves out a part of the file/);
    expect(readFileSync(partial(machine.place))).toHaveLength(100);
    start = 50;
    expect(await install(machine, address)).toMatchObject({ source: 'mirror' });
  });

  it('does not use a file that changed between two downloads, and then begins again', async () => {
    const machine = machineWithoutPython();
    write(partial(machine.place), Buffer.alloc(100, 'of another file'));
    const { address, ranges } = await serve(({ headers }, response) => {
      const start = headers.range === undefined ? 0 : 100;
      response.writeHead(start > 0 ? 206 : 200).end(machine.bytes.subarray(start));
    });
    await expect(install(machine, address)).rejects.toThrow(/is damaged or not the expected/);
    expect(await install(machine, address)).toMatchObject({ source: 'mirror' });
    expect(ranges).toEqual(['bytes=100-', undefined]);
  });

  it('keeps what it has if the connection breaks', async () => {
    const machine = machineWithoutPython();
    const { address } = await serve(({ socket }, response) => {
      response.writeHead(200, { 'content-length': machine.bytes.length });
      response.write(machine.bytes.subarray(0, 100));
      void vi
        .waitFor(() => expect(readFileSync(partial(machine.place))).toHaveLength(100), {
          timeout: 60_000,
        })
        .then(() => socket.end());
    });
    await expect(install(machine, address)).rejects.toThrow(
      /127\.0\.0\.1:\d+ broke the connection/,
    );
    expect(readFileSync(partial(machine.place))).toEqual(machine.bytes.subarray(0, 100));
  });

  it.each([
    [
      'other bytes',
      (bytes: Buffer) => Buffer.alloc(bytes.length),
      /is damaged or not the expected/,
    ],
    ['too many bytes', (bytes: Buffer) => Buffer.concat([bytes, bytes]), /larger than expected/],
  ] as const)('is refused if it sends %s', async (_, change, message) => {
    const machine = machineWithoutPython();
    const { address } = await serve((__, response) => response.end(change(machine.bytes)));
    await expect(install(machine, address)).rejects.toThrow(message);
    expect(existsSync(path.join(machine.place.runtime.home, 'downloads', FILE))).toBe(false);
  });

  it.each([
    ['answers with 404', (address: string) => address, /answers with 404/],
    ['cannot be reached', () => 'http://127.0.0.1:1/', /127\.0\.0\.1:1 cannot be reached/],
    ['is no place', () => 'wheels', /neither an address nor the full path of a folder/],
  ] as const)('is named in the error if it %s', async (_, place, message) => {
    const { address } = await serve((__, response) => response.writeHead(404).end());
    const machine = machineWithoutPython();
    await expect(install(machine, place(address))).rejects.toThrow(message);
  });

  it('can be a folder, which stays as it is', async () => {
    const machine = machineWithoutPython();
    const folder = path.join(machine.place.root, 'share');
    mkdirSync(folder);
    copyFileSync(path.join(machine.place.root, 'pinned.whl'), path.join(folder, FILE));
    expect(await install(machine, folder)).toMatchObject({ source: 'mirror' });
    expect(readdirSync(folder)).toEqual([FILE]);
  });

  it('can have the wheels of every platform, by the names in an index', () => {
    const names = Object.values(PLATFORM_PINS).flatMap(({ wheels, gpu }) =>
      [...wheels, ...(gpu?.wheels ?? [])].map(({ file }) => file),
    );
    expect(names).toEqual([
      'tensorflow_cpu-2.18.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
      'tensorflow-2.18.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
      ...[
        'cuda_runtime_cu12-12.5.82',
        'cublas_cu12-12.5.3.2',
        'cudnn_cu12-9.3.0.75',
        'cufft_cu12-11.2.3.61',
        'cusolver_cu12-11.6.3.83',
        'cusparse_cu12-12.5.1.3',
        'nvjitlink_cu12-12.5.82',
      ].map((name) => `nvidia_${name}-py3-none-manylinux2014_x86_64.whl`),
      'tensorflow-2.18.1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl',
      'tensorflow-2.18.1-cp311-cp311-macosx_12_0_arm64.whl',
      'tensorflow_cpu-2.18.1-cp311-cp311-win_amd64.whl',
      'msvc_runtime-14.44.35112-cp311-cp311-win_amd64.whl',
    ]);
  });
});
