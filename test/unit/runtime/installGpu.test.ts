import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findGpu, parseGpu } from '../../../src/runtime/gpu';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installGpuRuntime } from '../../../src/runtime/installGpu';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { PLATFORM_PINS } from '../../../src/runtime/pins';
import { makePlace, withGpu } from '../../support/runtimePlace';

describe('GPU detection', () => {
  it('parses the first GPU from the nvidia-smi output', () => {
    expect(
      parseGpu('81559, 1024, NVIDIA H100 80GB HBM3\n24576, 2, NVIDIA GeForce RTX 4090\n'),
    ).toEqual({
      name: 'NVIDIA H100 80GB HBM3',
      memory_total: 81559 * 2 ** 20,
      memory_used: 2 ** 30,
    });
    expect(parseGpu('No devices were found\n')).toBeNull();
  });

  it('asks for the GPU that is used, the first of several', async () => {
    const place = makePlace();
    writeFileSync(
      path.join(place.env['PATH']!, 'nvidia-smi'),
      `#!${process.execPath}\nconsole.log('2, 1, asked for ' + process.argv.slice(4).join(' '));\n`,
      { mode: 0o755 },
    );
    const asked = async (visible?: string) => {
      const chosen = visible === undefined ? {} : { CUDA_VISIBLE_DEVICES: visible };
      return (await findGpu({ ...place.env, ...chosen }))?.name;
    };
    expect(await asked()).toBe('asked for --id=0');
    expect(await asked('3,1')).toBe('asked for --id=3');
    expect(await asked('GPU-8f2c-1')).toBe('asked for --id=GPU-8f2c-1');
    expect(await asked('MIG-8f2c-1')).toBe('asked for');
    for (const hidden of ['', '-1', 'NoDevFiles', '0 --help'])
      expect(await asked(hidden), hidden).toBeUndefined();
  });

  it('finds no GPU without nvidia-smi', async () => {
    const place = makePlace();
    expect(await findGpu(place.env)).toBeNull();
    withGpu(place);
    expect(await findGpu(place.env)).toMatchObject({ name: 'NVIDIA H100 80GB HBM3' });
  });
});

describe('TensorFlow with CUDA', () => {
  it('is installed from its wheels into one folder and preferred from then on', async () => {
    const place = makePlace();
    const machine = withGpu(place);
    place.python({ pip: 'wheel' });
    const onCpu = await installRuntime(place.runtime, place.options(), place.machine);
    const runtime = await installGpuRuntime(place.runtime, place.options(), machine);
    expect(runtime).toMatchObject({
      kind: 'tensorflow',
      source: 'cuda',
      device: 'gpu',
      why: expect.stringContaining('with CUDA') as string,
    });
    const folder = path.join(place.runtime.home, 'tensorflow-2.18.1-cuda-linux-x64');
    expect(readdirSync(folder).sort()).toEqual([
      'libcublas.so.12',
      'libtensorflow_cc.so.2',
      'runtime.json',
      'tfjs_binding.node',
    ]);
    expect(onCpu).toMatchObject({ source: 'wheel' });
    expect(await findRuntime(place.runtime, machine)).toEqual(runtime);
    expect(
      place.pythonCalls().flatMap(({ args }) => args.filter((arg) => arg.includes('=='))),
    ).toEqual(['tensorflow-cpu==2.18.1', 'tensorflow==1.0', 'nvidia-cublas-cu12==1.0']);
  });

  it('comes from the mirror that the user names, without Python', async () => {
    const place = makePlace();
    const machine = withGpu(place); // its wheels are in the place's folder
    const runtime = { ...place.runtime, url: place.root };
    expect(await installGpuRuntime(runtime, place.options(), machine)).toMatchObject({
      source: 'cuda',
      why: `The pinned TensorFlow 2.18.1 with CUDA, from ${place.root}, which the setting lora.runtime.url names.`,
    });
  });

  it('is not fetched from elsewhere if the mirror does not have it', async () => {
    const place = makePlace();
    const machine = withGpu(place);
    place.python({ pip: 'wheel' });
    const url = path.join(place.root, 'bin');
    const installation = installGpuRuntime({ ...place.runtime, url }, place.options(), machine);
    await expect(installation).rejects.toThrow('tensorflow.whl does not exist');
    expect(place.inHome()).toEqual([]);
  });

  it('is not downloaded without a GPU or a matching TensorFlow', async () => {
    const place = makePlace();
    const gpu = withGpu(place);
    place.python({ pip: 'wheel' });
    await expect(
      installGpuRuntime(place.runtime, place.options(), {
        ...gpu,
        env: { ...place.env, PATH: place.root },
      }),
    ).rejects.toThrow('No NVIDIA GPU was found');
    await expect(
      installGpuRuntime(place.runtime, place.options(), {
        ...gpu,
        pin: place.pin,
        platform: 'darwin-arm64',
      }),
    ).rejects.toThrow('There is no TensorFlow with CUDA for darwin-arm64');
  });

  it('leaves no files if it cannot use the GPU', async () => {
    const place = makePlace();
    const machine = withGpu(place, 'cpu');
    place.python({ pip: 'wheel' });
    await expect(installGpuRuntime(place.runtime, place.options(), machine)).rejects.toThrow(
      'it cannot use the GPU',
    );
    expect(place.inHome()).toEqual([]);
  });

  it('leaves no files if a wheel is damaged', async () => {
    const place = makePlace();
    const machine = withGpu(place);
    place.python({ pip: 'corrupted' });
    await expect(installGpuRuntime(place.runtime, place.options(), machine)).rejects.toThrow(
      /is damaged or not the expected file/,
    );
    expect(place.inHome()).toEqual([]);
  });

  it('lists a library from each of its wheels', () => {
    const { wheels, libraries } = PLATFORM_PINS['linux-x64']!.gpu!;
    const folders = new Set(
      Object.keys(libraries).map((file) =>
        file.startsWith('nvidia/')
          ? `nvidia-${file.split('/')[1]!.replace('_', '-')}-cu12`
          : 'tensorflow',
      ),
    );
    expect([...folders].sort()).toEqual(wheels.map((wheel) => wheel.package).sort());
  });
});
