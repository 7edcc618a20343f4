import type { Gpu } from '../../runtime/gpu';
import { COMPANION_NAME } from '../../runtime/pins';
import type { Runtime } from '../../runtime/runtime';
import type { Place, PlaceState, searchOrder } from '../../runtime/searchOrder';
import { SETTINGS } from '../manifest/ids';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';

/** The CPU of this machine. */
export interface Processor {
  readonly model: string;
  readonly cores: number;
}

/** What a runtime runs on. `gflops`: its measured speed; null: not measured. */
export interface Machine {
  readonly cpu: Processor;
  readonly gpu: Gpu | null;
  readonly gflops: number | null;
  /** Where it was looked for. */
  readonly order: ReturnType<typeof searchOrder>;
}

/**
 * Describes a runtime in one paragraph: its version, its device, why it was chosen, its speed and
 * the order in which it was looked for.
 */
export function describeRuntime(runtime: Runtime | null, machine: Machine): string {
  const { order } = machine;
  const found = runtime
    ? describeFound(runtime, machine)
    : t('No runtime is installed. Training needs libtensorflow.');
  return order.length === 0 ? found : `${found} ${describeOrder(order)}`;
}

const describeOrder = (order: Machine['order']): string =>
  t(
    'Looked for in this order: {0}.',
    order
      .map(([place, state]) => {
        const note = noteOf(place, state);
        return note === null ? nameOf(place) : `${nameOf(place)} (${note})`;
      })
      .join(', '),
  );

function nameOf(place: Place): string {
  switch (place) {
    case 'setting':
      return SETTINGS.runtimePath;
    case 'cuda':
      return t('TensorFlow with CUDA');
    case 'companion':
      return t('the extension {0}', COMPANION_NAME);
    case 'installed':
      return t('an installed runtime');
    case 'mirror':
      return SETTINGS.runtimeUrl;
    case 'python':
      return t('a local Python');
    case 'pip':
      return t('a download by pip');
  }
}

function noteOf(place: Place, state: PlaceState): string | null {
  switch (state) {
    case 'used':
      return t('used');
    case 'chosen':
      return t('set');
    case 'absent':
      return place === 'setting' || place === 'mirror' ? t('not set') : t('not installed');
    case 'not asked':
      return null;
  }
}

function describeFound(runtime: Runtime, { cpu, gpu, gflops }: Machine): string {
  const text =
    runtime.kind === 'wasm'
      ? runtime.why
      : t(
          'libtensorflow {0} on {1}. {2} Folder: {3}.',
          runtime.tensorflow_version,
          runtime.device === 'gpu' ? describeGpu(gpu) : describeCpu(cpu),
          runtime.why,
          runtime.folder,
        );
  if (gflops === null) return text;
  return `${text} ${t('{0} GFLOP/s in a product of two matrices.', formatNumber(gflops))}`;
}

/** Billions of operations, to three digits. */
const formatNumber = (gflops: number): string => String(Number(gflops.toPrecision(3)));

function describeGpu(gpu: Gpu | null): string {
  if (!gpu) return t('the GPU');
  return t(
    'the GPU ({0}, {1} of {2} in use)',
    gpu.name,
    formatBytes(gpu.memory_used),
    formatBytes(gpu.memory_total),
  );
}

const describeCpu = ({ model, cores }: Processor): string =>
  t('the CPU ({0}, {1} {1|thread|threads})', model.trim(), cores);
