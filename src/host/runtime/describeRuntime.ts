import type { Gpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';

export interface Processor {
  readonly model: string;
  readonly cores: number;
}

/** Which libtensorflow, on what device, and why: one paragraph. */
export function describeRuntime(runtime: Runtime | null, cpu: Processor, gpu: Gpu | null): string {
  if (!runtime) return t('No runtime is installed. Training needs libtensorflow.');
  if (runtime.kind === 'wasm') return runtime.why;
  const device =
    runtime.device === 'gpu'
      ? gpu
        ? t(
            'the GPU ({0}, {1} of {2} in use)',
            gpu.name,
            formatBytes(gpu.memory_used),
            formatBytes(gpu.memory_total),
          )
        : t('the GPU')
      : t('the CPU ({0}, {1} threads)', cpu.model.trim(), cpu.cores);
  return t(
    'libtensorflow {0} on {1}. {2} Folder: {3}',
    runtime.tensorflow_version,
    device,
    runtime.why,
    runtime.folder,
  );
}
