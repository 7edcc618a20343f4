import type { FoundAdapter } from '../../formats/adapterFormat';
import { adapterKindOf, PIPELINE_NAMES } from '../../formats/diffusion/kinds';
import type { FileModule } from '../../formats/loraFile/lycoris';
import { readLoraModules } from '../../formats/loraFile/read';
import { withSafetensors } from '../../formats/safetensors/read';
import { countOf } from '../../shared/values';
import type { Report } from './inspectRecipe';
import { kindIn } from './moduleKinds';

interface Described {
  readonly path: string;
  readonly method: 'LoRA' | 'LoHa' | 'LoKr';
  readonly out_features: number;
  readonly in_features: number;
}

/**
 * What `lora inspect` says of an adapter that cannot become LoRA, and so can only be merged; null:
 * any other.
 *
 * @throws LoraError('adapter')
 */
export async function inspectLycoris({ format, path: file }: FoundAdapter): Promise<Report | null> {
  if ((format !== 'kohya' && format !== 'diffusers') || !(await hasLycoris(file))) return null;
  const { modules: found, warnings } = await readLoraModules(file, null);
  const dense = found.filter((own) => own.kind === 'lycoris' && !own.isLora);
  if (dense.length === 0) return null;
  const modules = found.map(describe);
  const pipeline = adapterKindOf(modules);
  const model = pipeline === null ? '' : ` of ${PIPELINE_NAMES[pipeline]}`;
  const methods = new Map<string, number>();
  for (const { method } of modules) methods.set(method, (methods.get(method) ?? 0) + 1);
  const kinds = [...new Set(modules.map((own) => kindIn(own.path)))].join(', ');
  const counts = [...methods].map(([method, count]) => `${count} of ${method}`).join(', ');
  return {
    facts: { type: 'lycoris', format, pipeline, base: null, modules, warnings },
    lines: [
      `LyCORIS adapter${model} (${format}): ${countOf(modules.length, 'module')} (${kinds}), ${counts}`,
      `LoRA holds ${dense.length} of them at a rank above the full one only: the adapter can be merged (lora merge), but not converted, compared, combined or resized`,
      ...warnings.map(({ message }) => message),
    ],
  };
}

const hasLycoris = (file: string): Promise<boolean> =>
  withSafetensors(file, ({ tensors }) =>
    Promise.resolve([...tensors.keys()].some((name) => /\.(?:hada|lokr)_/.test(name))),
  );

function describe(own: FileModule): Described {
  if (own.kind === 'lora') return { ...shapeOf(own.factors), method: 'LoRA' };
  return { ...shapeOf(own), method: own.method };
}

const shapeOf = ({ path, out_features, in_features }: Omit<Described, 'method'>) => ({
  path,
  out_features,
  in_features,
});
