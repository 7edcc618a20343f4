import { LoraError } from '../shared/errors';
import { findGpu } from './gpu';
import { installFrom } from './installRuntime';
import { thisMachine, type Machine } from './machine';
import { cudaWheels } from './sources';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';

/**
 * Installs TensorFlow with CUDA, once it is known that there is a GPU; it is preferred from then
 * on. Errors: LoraError 'runtime', 'disk', 'cancelled'.
 */
export async function installGpuRuntime(
  runtime: RuntimeOptions,
  options: InstallOptions,
  machine: Machine = thisMachine(),
): Promise<Runtime> {
  const { pin, platform, env, probe } = machine;
  if (!pin?.gpu)
    throw new LoraError('runtime', `There is no TensorFlow with CUDA for ${platform}.`, {
      fix: 'Install the runtime for the CPU.',
    });
  if (!(await findGpu(env)))
    throw new LoraError(
      'runtime',
      'No NVIDIA GPU was found: nvidia-smi is missing or names none.',
      { fix: "Install NVIDIA's driver, or take the runtime for the CPU." },
    );
  const onGpu: Machine['probe'] = async (...args) => {
    const facts = await probe(...args);
    if (facts.device === 'gpu') return facts;
    throw new LoraError('runtime', 'TensorFlow with CUDA was loaded, but it cannot use the GPU.', {
      fix: "CUDA 12.5 needs NVIDIA's driver 525 or newer. Without one, take the runtime for the CPU.",
    });
  };
  const installed = await installFrom(
    cudaWheels(pin.gpu, runtime.home, env),
    pin.gpu,
    runtime,
    options,
    { ...machine, probe: onGpu },
  );
  return installed!; // its source is always open
}
