import { createFile } from '../../common/atomicWrite';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { adapterTensor } from '../adapterDtype';
import { rescaled } from '../importedAdapter';
import { tensorShape } from '../peft/names';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { writeKohyaAdapter } from '../kohya/write';
import type { PipelineKind } from './kinds';
import { isOfFlux, isOfPipeline, withDiffusersNames, withOriginalFluxNames } from './spellings';
import { unetKindOf, withUNetNames, type UNetTool } from './unetSpelling';

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
 * Writes an adapter as ai-toolkit does: that of Flux as Diffusers, that of a UNet with kohya's
 * factors (`UNET_SPELLINGS`), with Diffusers' names where it is not known which UNet it is of.
 *
 * @param kind That of its base; null: what the modules say.
 * @throws LoraError as `writeDiffusersAdapter`.
 */
export function writeAiToolkitAdapter(
  file: string,
  adapter: Adapter,
  kind: PipelineKind | null = null,
): Promise<void> {
  if (isOfFlux(adapter)) return writeDiffusersAdapter(file, adapter);
  const own = spelled(adapter, file, { tool: 'ai-toolkit', kind });
  return writeKohyaAdapter(file, own ?? withDiffusersNames(adapter, file));
}

/**
 * Writes an adapter as kohya's scripts do: that of Flux with the modules of its original
 * checkpoints, that of a UNet as in `UNET_SPELLINGS`, with the names that it has where it is not
 * known which UNet it is of.
 *
 * @param kind That of its base; null: what the modules say.
 * @throws LoraError as `writeKohyaAdapter`, and where DoRA is on parts of a weight.
 */
export function writeKohyaScriptsAdapter(
  file: string,
  adapter: Adapter,
  kind: PipelineKind | null = null,
): Promise<void> {
  if (isOfFlux(adapter)) return writeKohyaAdapter(file, withOriginalFluxNames(adapter, file));
  return writeKohyaAdapter(file, spelled(adapter, file, { tool: 'kohya', kind }) ?? adapter);
}

/** The adapter with a program's names of a UNet; null: it is of none, or not known of which. */
function spelled(
  adapter: Adapter,
  file: string,
  { tool, kind }: { readonly tool: UNetTool; readonly kind: PipelineKind | null },
): Adapter | null {
  if (!isOfPipeline(adapter)) return null;
  const own = kind ?? unetKindOf(adapter.modules);
  return own === null || own === 'flux' ? null : withUNetNames(adapter, file, { tool, kind: own });
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
