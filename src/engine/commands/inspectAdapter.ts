import path from 'node:path';
import { detectAdapter, readAdapter } from '../../formats/adapterFormat';
import { readGgufAdapter } from '../../formats/gguf/adapter';
import type { ImportedAdapter } from '../../formats/importedAdapter';
import { namesInShort } from '../../formats/peft/againstBase';
import { unmatchedEntries } from '../../formats/peft/unmatchedEntries';
import { CONFIG_FILE } from '../../formats/peft/files';
import type { Adapter } from '../../lora/adapter';
import { rankKeepingEnergy } from '../../lora/resize';
import { updateNorm } from '../../lora/updateSvd';
import { countOf } from '../../shared/values';
import { groupDigits } from '../describe';
import type { Report } from './inspectRecipe';

/** What `lora inspect` says of an adapter, of any format. @throws LoraError */
export async function inspectAdapter(place: string): Promise<Report> {
  const found = await detectAdapter(place);
  const read =
    found.format === 'gguf'
      ? await readGgufAdapter(found.path, 'as stored')
      : await readAdapter(found, null);
  if (found.format !== 'peft') return adapterReport(found.format, read);
  const unmatched = unmatchedEntries(read.adapter, path.join(found.path, CONFIG_FILE));
  return adapterReport(found.format, { ...read, warnings: [...read.warnings, ...unmatched] });
}

/** The last part of a module's path: q_proj. */
export const kindOf = (modulePath: string): string =>
  modulePath.slice(modulePath.lastIndexOf('.') + 1);

/** Facts and sentences about an adapter that was read from a file of `format`. */
export function adapterReport(
  format: string,
  { adapter, warnings }: Pick<ImportedAdapter, 'adapter' | 'warnings'>,
): Report {
  const { config, modules, trained } = adapter;
  const { r, lora_alpha, use_rslora, use_dora, base_model_name_or_path: base } = config;
  const parameters = modules.reduce((sum, m) => sum + m.A.length + m.B.length, 0);
  const [rank_90, rank_99] = [rankKeepingEnergy(adapter, 0.9), rankKeepingEnergy(adapter, 0.99)];
  const kinds = [...new Set(modules.map((m) => kindOf(m.path)))].join(', ');
  const scaling = `r = ${r}, lora_alpha = ${lora_alpha}${use_rslora ? ', rsLoRA' : ''}${use_dora ? ', DoRA' : ''}`;
  const isZero = modules.every((m) => updateNorm(m) === 0);
  return {
    facts: {
      type: 'adapter',
      format,
      r,
      rank_90,
      rank_99,
      lora_alpha,
      use_rslora,
      use_dora,
      zero: isZero,
      trained: trained.map((own) => own.name),
      base,
      parameters,
      modules: modules.map((m) => ({ path: m.path, r: m.r, scaling: m.scaling })),
      warnings,
    },
    lines: [
      `LoRA adapter (${format}): ${scaling}, ${countOf(modules.length, 'module')} (${kinds}), ${groupDigits(parameters)} parameters`,
      base === null ? 'no base recorded' : `base ${base}`,
      ...describeTrained(adapter),
      isZero
        ? 'The update is zero: A or B is zero in every module.'
        : `rank ${rank_90} in every module would keep 90% of the update, rank ${rank_99} would keep 99%`,
      ...warnings.map(({ message }) => message),
    ],
  };
}

function describeTrained({ trained, config: { modules_to_save } }: Adapter): string[] {
  if (trained.length === 0) {
    return [];
  }
  const names = namesInShort(trained.map((own) => own.name));
  const saved = modules_to_save ? ` (modules_to_save ${modules_to_save.join(', ')})` : '';
  return [`trained in full: ${names}${saved}`];
}
