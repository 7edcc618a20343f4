import type { Gpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';
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
}

/** Describes a runtime in one paragraph: its version, its device and why it was chosen. */
export function describeRuntime(runtime: Runtime | null, { cpu, gpu, gflops }: Machine): string {
  if (!runtime) return t('No runtime is installed. Training needs libtensorflow.');
  const text =
    runtime.kind === 'wasm'
      ? runtime.why
      : t(
          'libtensorflow {0} on {1}. {2} Folder: {3}',
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
