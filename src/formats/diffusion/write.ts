import { createFile } from '../../common/atomicWrite';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { adapterTensor } from '../adapterDtype';
import { rescaled } from '../importedAdapter';
import { tensorShape } from '../peft/names';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { writeKohyaAdapter } from '../kohya/write';
import { isOfFlux, withDiffusersNames, withOriginalFluxNames } from './spellings';

/**
 * Writes an adapter as a file of Diffusers: `lora_A` and `lora_B` of the modules of its pipelines.
 * There is no alpha that every program reads, so B contains the scale.
 *
 * @throws LoraError('adapter') for a module of no known pipeline; LoraError('disk'). An existing
 *   file stays.
 */
export async function writeDiffusersAdapter(file: string, adapter: Adapter): Promise<void> {
  const { modules, dtype = 'F32' } = withDiffusersNames(adapter, file);
  await writeSafetensors(
    file,
    modules.flatMap((m) => tensorsOf(m, m.path, dtype)),
    { format: 'pt' },
    createFile,
  );
}

/**
 * Writes an adapter as ai-toolkit does: that of Flux as Diffusers, that of a UNet as kohya's
 * scripts, with Diffusers' names of blocks.
 *
 * @throws LoraError as `writeDiffusersAdapter`.
 */
export function writeAiToolkitAdapter(file: string, adapter: Adapter): Promise<void> {
  return isOfFlux(adapter)
    ? writeDiffusersAdapter(file, adapter)
    : writeKohyaAdapter(file, withDiffusersNames(adapter, file));
}

/**
 * Writes an adapter as kohya's scripts do: that of Flux with the modules of its original
 * checkpoints.
 *
 * @throws LoraError as `writeKohyaAdapter`, and where DoRA is on parts of a weight.
 */
export function writeKohyaScriptsAdapter(file: string, adapter: Adapter): Promise<void> {
  return writeKohyaAdapter(
    file,
    isOfFlux(adapter) ? withOriginalFluxNames(adapter, file) : adapter,
  );
}

function tensorsOf(m: LoraFactors, name: string, dtype: AdapterDtype): TensorToWrite[] {
  const tensor = (end: string, factor: 'A' | 'B', data: Float32Array): TensorToWrite =>
    adapterTensor({ name: `${name}.${end}.weight`, shape: tensorShape(m, factor), data }, dtype);
  const { magnitude } = m;
  return [
    tensor('lora_A', 'A', m.A),
    tensor('lora_B', 'B', rescaled(m, 1)),
    ...(magnitude
      ? [
          adapterTensor(
            { name: `${name}.lora_magnitude_vector`, shape: [magnitude.length], data: magnitude },
            dtype,
          ),
        ]
      : []),
  ];
}
