import { LoraError } from '../shared/errors';
import { findGpu } from './gpu';
import { installFrom } from './installRuntime';
import type { Probe } from './probe';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';
import { cudaWheels } from './sources';
import { thisMachine } from './targetMachine';

/**
 * Installs TensorFlow with CUDA on a machine with an NVIDIA GPU. `findRuntime` prefers it from then
 * on.
 *
 * @throws LoraError('runtime') when there is no GPU or TensorFlow cannot use it; 'disk';
 *   'cancelled'.
 */
export async function installGpuRuntime(
  runtime: RuntimeOptions,
  options: InstallOptions,
  machine = thisMachine(),
): Promise<Runtime> {
  const { pin, platform, env } = machine;
  if (!pin?.gpu) {
    throw new LoraError('runtime', `There is no TensorFlow with CUDA for ${platform}.`, {
      fix: 'Install the runtime for the CPU.',
    });
  }
  if (!(await findGpu(env))) {
    const message = 'No NVIDIA GPU was found: nvidia-smi is missing or lists none.';
    throw new LoraError('runtime', message, {
      fix: "Install NVIDIA's driver, or use the runtime for the CPU.",
    });
  }
  const installed = await installFrom({
    source: cudaWheels(pin.gpu, runtime, env),
    pin: pin.gpu,
    runtime,
    options,
    machine: { ...machine, probe: requiringGpu(machine.probe) },
  });
  return installed!; // this source is always available
}

const requiringGpu =
  (probe: Probe): Probe =>
  async (...args) => {
    const probed = await probe(...args);
    if (probed.device === 'gpu') return probed;
    throw new LoraError('runtime', 'TensorFlow with CUDA was loaded, but it cannot use the GPU.', {
      fix: "CUDA 12.5 needs NVIDIA's driver 525 or newer. Without one, use the runtime for the CPU.",
    });
  };
