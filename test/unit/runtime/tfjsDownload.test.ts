import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { create } from 'tar';
import { describe, expect, it } from 'vitest';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { tfjsDownloadUrl } from '../../../src/runtime/tfjsDownload';
import { LIBRARIES, makeLibraries, makePlace, serve, type Place } from '../../support/runtimePlace';

const RELEASE = [
  'lib/libtensorflow.so.2.9.1',
  'lib/libtensorflow_framework.so.2.9.1',
  'include/c_api.h',
];
const install = (place: Place, signal?: AbortSignal) =>
  installRuntime(place.runtime, place.options(signal), place.machine);

/**
 * A release of libtensorflow as tfjs-node's storage has it, and a place that looks for it on the
 * loopback.
 */
async function makeRelease(names: readonly string[] = RELEASE, content = 'library 2.9.1') {
  const place = makePlace();
  const folder = makeLibraries(path.join(place.root, 'release'), content, names);
  const file = path.join(place.root, 'release.tar.gz');
  await create({ file, cwd: folder, gzip: true, portable: true }, ['.']);
  return { place, archive: readFileSync(file) };
}

describe('the tfjs-node download', () => {
  it("is the last source, with the URL of tfjs-node's installer", async () => {
    const { place, archive } = await makeRelease();
    const asked: string[] = [];
    place.env['TFJS_NODE_BASE_URI'] = `${await serve((request, response) => {
      asked.push(request.url!);
      response.end(archive);
    })}libtensorflow-`;
    place.python({ pip: 'fails' });
    expect(await install(place)).toMatchObject({
      source: 'tfjs-node',
      tensorflow_version: '2.9.1',
      why: expect.stringContaining('pip could not bring a newer one') as string,
    });
    expect(asked).toEqual(['/libtensorflow-cpu-linux-x86_64-2.9.1.tar.gz']);
    expect(place.inHome()).toEqual(['tfjs-node-linux-x64']);
    const folder = path.join(place.runtime.home, 'tfjs-node-linux-x64');
    expect(readdirSync(folder).sort()).toEqual([...LIBRARIES, 'runtime.json', 'tfjs_binding.node']);
    expect(readFileSync(path.join(folder, LIBRARIES[0]), 'utf8')).toBe('library 2.9.1');
  });

  it("respects the environment variables of tfjs-node's installer", () => {
    const [versioned, other] = [
      'tensorflow/libtensorflow/libtensorflow-cpu-linux-x86_64-2.9.1.tar.gz',
      'tf-builds/libtensorflow_r2_7_linux_arm64.tar.gz',
    ];
    expect(tfjsDownloadUrl(versioned, { TFJS_NODE_BASE_URI: 'http://a/lib-' })).toBe(
      'http://a/lib-cpu-linux-x86_64-2.9.1.tar.gz',
    );
    expect(
      tfjsDownloadUrl(other, {
        TFJS_NODE_BASE_URI: 'http://a/lib-',
        TFJS_NODE_CDN_STORAGE: 'http://b/',
      }),
    ).toBe(`http://b/${other}`);
    expect(tfjsDownloadUrl(versioned, { CDN_STORAGE: 'http://c/' })).toBe(`http://c/${versioned}`);
  });

  it.each([
    ['is rejected by the server', 'the server answered 403', 403],
    ['is not an archive', 'is not a complete archive', Buffer.from('<html>')],
  ] as const)('says so when it %s', async (_, message, answer) => {
    const place = makePlace();
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) => {
      if (typeof answer === 'number') response.statusCode = answer;
      response.end(answer === 403 ? '' : answer);
    });
    await expect(install(place)).rejects.toThrow(message);
    expect(place.inHome()).toEqual([]);
  });

  it('is not installed if the connection breaks', async () => {
    const { place, archive } = await makeRelease();
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) => {
      response.setHeader('content-length', archive.length);
      response.write(archive.subarray(0, archive.length / 2), () => response.destroy());
    });
    await expect(install(place)).rejects.toThrow('libtensorflow could not be downloaded');
    expect(place.inHome()).toEqual([]);
  });

  it('is not installed if the archive is truncated', async () => {
    const { place, archive } = await makeRelease();
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) =>
      response.end(archive.subarray(0, archive.length - 20)),
    );
    await expect(install(place)).rejects.toThrow('is not a complete archive');
    expect(place.inHome()).toEqual([]);
  });

  it('is not installed if the archive lacks a library', async () => {
    const { place, archive } = await makeRelease(RELEASE.slice(0, 1));
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) => response.end(archive));
    await expect(install(place)).rejects.toThrow('does not contain libtensorflow_framework.');
  });

  it('is not installed if it does not load', async () => {
    const { place, archive } = await makeRelease(RELEASE, 'for another processor');
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) => response.end(archive));
    await expect(install(place)).rejects.toThrow('invalid ELF header');
    expect(await findRuntime(place.runtime, place.machine)).toBeNull();
  });

  it('can be cancelled during the download', async () => {
    const { place, archive } = await makeRelease();
    const controller = new AbortController();
    place.env['TFJS_NODE_BASE_URI'] = await serve((_request, response) => {
      response.setHeader('content-length', archive.length);
      response.write(archive.subarray(0, archive.length / 2), () => controller.abort());
    });
    await expect(install(place, controller.signal)).rejects.toMatchObject({ area: 'cancelled' });
    expect(place.inHome()).toEqual([]);
  });
});
