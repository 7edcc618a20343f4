import { findRuntime } from '../../runtime/findRuntime';
import { installGpuRuntime } from '../../runtime/installGpu';
import { installRuntime } from '../../runtime/installRuntime';
import type { Runtime } from '../../runtime/runtime';
import { COMPANION_NAME } from '../../runtime/pins';
import { searchOrder, type Place, type PlaceState } from '../../runtime/searchOrder';
import { measureRuntime } from '../../runtime/probe';
import { thisMachine } from '../../runtime/targetMachine';
import { MEASURED_SIZE } from '../../runtime/speed';
import { reportTo, runtimeOptions } from '../useRuntime';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag } from './options';
import { joinLines } from '../report';

/** lora runtime: exit code 1 if no runtime is installed. */
export const runtimeCommand = defineCommand({
  name: 'runtime',
  summary: 'Shows which libtensorflow is used, or installs one.',
  forms: [
    form({
      options: {
        install: flag('install libtensorflow if it is missing'),
        gpu: flag('with --install: the build for NVIDIA GPUs'),
      },
      check: ({ options: { install, gpu } }) => (gpu && !install ? '--gpu needs --install.' : null),
      run: async ({ options: { install, gpu } }, context) => {
        const installed = await findRuntime(
          runtimeOptions(context.dist),
          thisMachine(),
          reportTo(context.note),
        );
        const isSuitable = installed !== null && (!gpu || isForGpu(installed));
        const runtime =
          install && !isSuitable
            ? await installWith(gpu ? installGpuRuntime : installRuntime, context)
            : installed;
        const gflops = runtime && (await measureRuntime(runtime, context.dist, context));
        const order = searchOrder(runtime, runtimeOptions(context.dist));
        printResult(context, { runtime, gflops, order }, () =>
          joinLines([describeRuntime(runtime, gflops), ...describeOrder(order)]),
        );
        return runtime ? 0 : 1;
      },
    }),
  ],
});

const isForGpu = (runtime: Runtime): boolean =>
  runtime.kind !== 'tensorflow' || runtime.device === 'gpu';

function installWith(
  install: typeof installGpuRuntime,
  { dist, signal, json, print, note }: CommandContext,
): Promise<Runtime> {
  let shown = '';
  return install(runtimeOptions(dist), {
    signal,
    log: note,
    onProgress: ({ message, fraction }) => {
      if (json) {
        print(JSON.stringify({ kind: 'progress', phase: message, fraction }));
        return;
      }
      const line = fraction === null ? message : `${message} ${10 * Math.floor(10 * fraction)}%`;
      if (line === shown) {
        return;
      }
      shown = line;
      note(line);
    },
  });
}

function describeRuntime(runtime: Runtime | null, gflops: number | null): string {
  if (!runtime) {
    return 'No runtime is installed. Install it: lora runtime --install';
  }
  const speed =
    gflops === null
      ? []
      : [`${gflops.toPrecision(3)} GFLOP/s in a product of two matrices of ${MEASURED_SIZE} rows.`];
  if (runtime.kind === 'wasm') {
    return joinLines([runtime.why, ...speed]);
  }
  const { tensorflow_version, device, folder, why } = runtime;
  const title = `libtensorflow ${tensorflow_version} on ${device.toUpperCase()}`;
  return joinLines([title, folder, why, ...speed]);
}

type Order = ReturnType<typeof searchOrder>;

function describeOrder(order: Order): readonly string[] {
  if (order.length === 0) {
    return [];
  }
  const lines = order.map(([place, state], i) => {
    const note = noteOf(place, state);
    return `  ${i + 1}. ${PLACE_NAMES[place]}${note === null ? '' : `: ${note}`}`;
  });
  return ['Looked for in this order:', ...lines];
}

const PLACE_NAMES: Readonly<Record<Place, string>> = {
  setting: 'LORA_RUNTIME_PATH (lora.runtime.path)',
  cuda: 'TensorFlow with CUDA',
  companion: `LORA_RUNTIME_COMPANION (the extension ${COMPANION_NAME})`,
  installed: 'an installed runtime',
  mirror: 'LORA_RUNTIME_URL (lora.runtime.url)',
  python: 'the TensorFlow of a local Python',
  pip: 'a download by pip',
};

function noteOf(place: Place, state: PlaceState): string | null {
  switch (state) {
    case 'used':
      return 'used';
    case 'chosen':
      return 'set';
    case 'absent':
      return place === 'cuda' || place === 'installed' ? 'not installed' : 'not set';
    case 'not asked':
      return null;
  }
}
