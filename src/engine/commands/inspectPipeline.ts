import { openPipelineBase } from '../../formats/diffusion/base';
import { PIPELINE_NAMES } from '../../formats/diffusion/kinds';
import { modelOf } from '../../formats/diffusion/names';
import { slotsOf } from '../../formats/diffusion/slots';
import { countParameters, type TensorInfo } from '../../formats/tensorInfo';
import { countOf } from '../../shared/values';
import { groupDigits } from '../describe';
import type { Report } from './inspectRecipe';
import { countDtypes } from './inspectTensors';

/** What `lora inspect` says of an image model: SD 1, SDXL or Flux. */
export async function inspectPipeline(place: string): Promise<Report> {
  const base = await openPipelineBase(place);
  try {
    const tensors = new Map(
      base.tensors.map(({ name, info, folder }): [string, TensorInfo] => [
        `${folder}/${name}`,
        { ...info, name },
      ]),
    );
    const slots = [...slotsOf(base).keys()];
    const models = [...new Set(slots.map(modelOf))];
    const parameters = countParameters(tensors);
    const dtypes = countDtypes(tensors);
    const form = base.is_folder ? 'folder' : 'safetensors';
    const kind = PIPELINE_NAMES[base.kind];
    return {
      facts: {
        type: 'image_model',
        kind: base.kind,
        form,
        models,
        parameters,
        dtypes,
        modules: slots,
      },
      lines: [
        `Image model: ${kind}, ${form === 'folder' ? 'a folder of Diffusers' : 'a single file'} with ${models.join(', ')}`,
        `${groupDigits(parameters)} parameters in ${countOf(tensors.size, 'tensor', groupDigits)} (${Object.entries(
          dtypes,
        )
          .map(([dtype, count]) => `${groupDigits(count)} ${dtype}`)
          .join(', ')})`,
        `${countOf(slots.length, 'layer', groupDigits)} that adapters can change; adapters are merged, converted and extracted, not trained`,
      ],
    };
  } finally {
    await base.close();
  }
}
