import type { Gpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';

/** The CPU of this machine. */
export interface Processor {
  readonly model: string;
  readonly cores: number;
}

/** Describes a runtime in one paragraph: its version, its device and why it was chosen. */
export function describeRuntime(runtime: Runtime | null, cpu: Processor, gpu: Gpu | null): string {
  if (!runtime) return t('No runtime is installed. Training needs libtensorflow.');
  if (runtime.kind === 'wasm') return runtime.why;
  return t(
    'libtensorflow {0} on {1}. {2} Folder: {3}',
    runtime.tensorflow_version,
    runtime.device === 'gpu' ? describeGpu(gpu) : describeCpu(cpu),
    runtime.why,
    runtime.folder,
  );
}

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
