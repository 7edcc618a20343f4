import { createFile } from '../../common/atomicWrite';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { adapterTensor } from '../adapterDtype';
import { storedAlpha } from '../checkFinite';
import { tensorShape } from '../peft/names';
import { mostFrequent } from '../../lora/combine';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { kohyaNames } from './names';

/**
 * Writes an adapter as a file of kohya's scripts (networks/lora.py), with an alpha for each module.
 *
 * @throws LoraError('adapter') when two modules have the same name; LoraError('disk'). An existing
 *   file stays.
 */
export async function writeKohyaAdapter(file: string, adapter: Adapter): Promise<void> {
  const { modules, dtype = 'F32' } = adapter;
  const names = kohyaNames(adapter, file);
  await writeSafetensors(
    file,
    modules.flatMap((m) => tensorsOf(m, names.get(m.path)!, dtype)),
    {
      ss_network_alpha: String(mostFrequent(modules.map((m) => m.scaling * m.r))),
      ss_network_dim: String(mostFrequent(modules.map((m) => m.r))),
      ss_network_module: 'networks.lora',
    },
    createFile,
  );
}

function tensorsOf(m: LoraFactors, name: string, dtype: AdapterDtype): TensorToWrite[] {
  return [
    { name: `${name}.alpha`, dtype: 'F32', shape: [], data: Float32Array.of(storedAlpha(m)) },
    adapterTensor(
      { name: `${name}.lora_down.weight`, shape: tensorShape(m, 'A'), data: m.A },
      dtype,
    ),
    adapterTensor({ name: `${name}.lora_up.weight`, shape: tensorShape(m, 'B'), data: m.B }, dtype),
  ];
}
