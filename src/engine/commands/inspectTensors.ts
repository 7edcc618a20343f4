import { open } from 'node:fs/promises';
import { GGUF_KINDS, kindOfGguf, type GgufKind } from '../../formats/gguf/kind';
import { Metadata } from '../../formats/gguf/metadata';
import { GgufFile } from '../../formats/gguf/read';
import { withSafetensors } from '../../formats/safetensors/read';
import { countParameters, type TensorInfo } from '../../formats/tensorInfo';
import { looksLikeRecipe } from '../../shared/recipeText';
import { countOf } from '../../shared/values';
import { groupDigits } from '../describe';
import type { Report } from './inspectRecipe';

/** What a .gguf file holds. @throws LoraError('base') when its header is not valid */
export async function ggufKindOf(file: string): Promise<GgufKind> {
  const source = await GgufFile.open(file);
  await source.close();
  return kindOfGguf(new Metadata(source.header.metadata, file), source.header.tensors);
}

/** Whether a .safetensors file has tensors with the names of an adapter's. */
export const hasFactors = (file: string): Promise<boolean> =>
  withSafetensors(file, (source) =>
    Promise.resolve([...source.tensors.keys()].some((name) => /lora|hada_|lokr_/i.test(name))),
  );

/** The header of a file that is neither a base nor an adapter: its tensors, of any type. */
export async function inspectTensors(file: string): Promise<Report> {
  if (file.endsWith('.safetensors')) {
    const tensors = await withSafetensors(file, (source) => Promise.resolve(source.tensors));
    return tensorReport(tensors, { format: 'safetensors', what: 'tensors of a model' });
  }
  const kind = await ggufKindOf(file);
  const source = await GgufFile.open(file);
  await source.close();
  return tensorReport(source.header.tensors, { format: 'gguf', kind, what: GGUF_KINDS[kind] });
}

function tensorReport(
  tensors: ReadonlyMap<string, TensorInfo>,
  { what, ...facts }: { readonly format: string; readonly kind?: GgufKind; readonly what: string },
): Report {
  const all = [...tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const dtypes = countDtypes(tensors);
  return {
    facts: {
      type: 'tensors',
      ...facts,
      parameters: countParameters(tensors),
      dtypes,
      tensors: all,
    },
    lines: [
      `${what}: ${countOf(all.length, 'tensor')}, ${groupDigits(countParameters(tensors))} numbers`,
      ...Object.entries(dtypes).map(([dtype, count]) => `  ${dtype}: ${countOf(count, 'tensor')}`),
      ...all.map(({ name, dtype, shape }) => `  ${name} ${dtype} [${shape.join(', ')}]`),
    ],
  };
}

/** How many tensors have each element type. */
export function countDtypes(tensors: ReadonlyMap<string, TensorInfo>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { dtype } of tensors.values()) {
    counts[dtype] = (counts[dtype] ?? 0) + 1;
  }
  return counts;
}

const MAX_RECIPE_BYTES = 1_000_000;

/** Whether a JSON file is a recipe, by its content. False when it cannot be read. */
export async function isRecipeFile(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch(() => null);
  if (!handle) {
    return false;
  }
  try {
    const { size } = await handle.stat();
    return size <= MAX_RECIPE_BYTES && looksLikeRecipe(await handle.readFile('utf8'));
  } catch {
    return false;
  } finally {
    await handle.close();
  }
}
