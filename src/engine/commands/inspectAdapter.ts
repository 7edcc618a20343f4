import { detectAdapter, readAdapter } from '../../formats/adapterFormat';
import { isPipelineBase } from '../../formats/diffusion/base';
import { adapterKindOf, PIPELINE_NAMES } from '../../formats/diffusion/kinds';
import { readDescribedAdapter } from '../../formats/describedAdapter';
import type { ImportedAdapter } from '../../formats/importedAdapter';
import { namesInShort } from '../../formats/peft/againstBase';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { Adapter } from '../../lora/adapter';
import { rankKeepingEnergy } from '../../lora/resize';
import { describeZeroUpdate } from '../../lora/zeroUpdate';
import { countOf } from '../../shared/values';
import { groupDigits } from '../describe';
import { checkAgainstPipeline } from '../merge/pipeline/mergePipeline';
import { baseOptionsOf } from '../model/openModel';
import { inspectLycoris } from './inspectLycoris';
import type { Report } from './inspectRecipe';
import { kindIn } from './moduleKinds';

/**
 * What `lora inspect` says of an adapter, of any format; with a base also where they do not belong
 * together.
 *
 * @throws LoraError
 */
export async function inspectAdapter(
  place: string,
  basePath: string | null = null,
): Promise<Report> {
  const found = await detectAdapter(place);
  const isOfPipeline = basePath !== null && (await isPipelineBase(basePath));
  if (isOfPipeline) await checkAgainstPipeline(place, basePath);
  if (isOfPipeline || basePath === null)
    return (
      (await inspectLycoris(found)) ??
      adapterReport(found.format, await readDescribedAdapter(found))
    );
  const base = await openBaseUnder(basePath, place, baseOptionsOf(await readAdapterTask(place)));
  try {
    return adapterReport(found.format, await readAdapter(found, base));
  } finally {
    await base.close();
  }
}

/** Facts and sentences about an adapter that was read from a file of `format`. */
export function adapterReport(
  format: string,
  { adapter, warnings }: Pick<ImportedAdapter, 'adapter' | 'warnings'>,
): Report {
  const { config, modules, trained } = adapter;
  const { r, lora_alpha, use_rslora, use_dora, base_model_name_or_path: base } = config;
  const parameters = modules.reduce((sum, m) => sum + m.A.length + m.B.length, 0);
  const [rank_90, rank_99] = [rankKeepingEnergy(adapter, 0.9), rankKeepingEnergy(adapter, 0.99)];
  const kinds = [...new Set(modules.map((m) => kindIn(m.path)))].join(', ');
  const pipeline = adapterKindOf(modules);
  const model = pipeline === null ? '' : ` of ${PIPELINE_NAMES[pipeline]}`;
  const scaling = `r = ${r}, lora_alpha = ${lora_alpha}${use_rslora ? ', rsLoRA' : ''}${use_dora ? ', DoRA' : ''}`;
  const zero = describeZeroUpdate(adapter);
  return {
    facts: {
      type: 'adapter',
      format,
      pipeline,
      r,
      rank_90,
      rank_99,
      lora_alpha,
      use_rslora,
      use_dora,
      zero: zero !== null,
      trained: trained.map((own) => own.name),
      base,
      parameters,
      modules: modules.map((m) => ({ path: m.path, r: m.r, scaling: m.scaling })),
      warnings,
    },
    lines: [
      `LoRA adapter${model} (${format}): ${scaling}, ${countOf(modules.length, 'module')} (${kinds}), ${groupDigits(parameters)} parameters`,
      base === null ? 'no base recorded' : `base ${base}`,
      ...describeTrained(adapter),
      zero ??
        `rank ${rank_90} in every module would keep 90% of the update, rank ${rank_99} would keep 99%`,
      ...warnings.map(({ message }) => message),
    ],
  };
}

function describeTrained({ trained, config: { modules_to_save } }: Adapter): string[] {
  if (trained.length === 0) {
    return [];
  }
  const whole = trained.filter(({ rows }) => !rows);
  const names = namesInShort(whole.map((own) => own.name));
  const saved = modules_to_save ? ` (modules_to_save ${modules_to_save.join(', ')})` : '';
  return [
    ...(whole.length > 0 ? [`trained in full: ${names}${saved}`] : []),
    ...trained.flatMap(({ name, rows }) =>
      rows
        ? [
            `rows of ${countOf(rows.length, 'token')} in ${name}: ${namesInShort(rows.map(String), 8)}`,
          ]
        : [],
    ),
  ];
}
