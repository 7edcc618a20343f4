import type { Adapter, LoraFactors } from '../../lora/adapter';
import { withRankPatterns } from '../../lora/combine';
import { flat } from '../kohya/names';
import { adapterKindOf, type PipelineKind } from './kinds';
import { pipelineModule } from './names';
import { isOfPipeline, withDiffusersNames } from './spellings';
import { unetNames } from './unetNames';

/** Kinds of pipelines with a UNet. */
export type UNetKind = Exclude<PipelineKind, 'flux'>;

/** Programs that write kohya's factors. */
export type UNetTool = 'kohya' | 'ai-toolkit';

/** Names with underscores for dots. */
interface UNetSpelling {
  readonly blocks: 'original' | 'diffusers';
  readonly text_encoder: string;
  readonly text_encoder_2: string;
}

const SD: UNetSpelling = {
  blocks: 'diffusers',
  text_encoder: 'lora_te_',
  text_encoder_2: 'lora_te2_',
};
const SDXL: UNetSpelling = {
  blocks: 'original',
  text_encoder: 'lora_te1_',
  text_encoder_2: 'lora_te2_',
};

/**
 * The names that each program gives the modules of each UNet. kohya's scripts run SD 1 in
 * Diffusers' modules and SDXL in those of its original checkpoint (library/original_unet.py,
 * library/sdxl_original_unet.py); ai-toolkit runs both in Diffusers' and renames those of SDXL
 * (toolkit/keymaps/stable_diffusion_locon_sdxl.json).
 */
export const UNET_SPELLINGS: Readonly<Record<UNetTool, Readonly<Record<UNetKind, UNetSpelling>>>> =
  {
    kohya: { sd: SD, sdxl: SDXL },
    'ai-toolkit': { sd: SD, sdxl: SDXL },
  };

/** Blocks and attention layers that SDXL's UNet lacks. */
const OF_SD = /^unet\.(?:(?:down|up)_blocks\.3|(?:down_blocks\.0|up_blocks\.2)\.attentions)\./;

/** Width of the texts that attention sees, in SD 1. */
const SD_CONTEXT = 768;

/** The kind of an adapter of a UNet; null: its modules are of both, or of neither. */
export function unetKindOf(
  modules: readonly Pick<LoraFactors, 'path' | 'in_features'>[],
): UNetKind | null {
  const kind = adapterKindOf(modules);
  if (kind !== 'sd') return kind === 'flux' ? null : kind;
  const isOfSd = modules.some(({ path, in_features }) => {
    const own = pipelineModule(path)!.paths[0]!;
    return OF_SD.test(own) || (/\.attn2\.to_[kv]$/.test(own) && in_features === SD_CONTEXT);
  });
  return isOfSd ? 'sd' : null;
}

/** The adapter with the names that a program gives its modules. */
export function withUNetNames(
  adapter: Adapter,
  file: string,
  { tool, kind }: { readonly tool: UNetTool; readonly kind: UNetKind },
): Adapter {
  const spelling = UNET_SPELLINGS[tool][kind];
  const own = withDiffusersNames(adapter, file);
  const modules = own.modules.map((m) => ({ ...m, path: nameOf(m.path, spelling) }));
  return withRankPatterns(own, modules);
}

function nameOf(path: string, spelling: UNetSpelling): string {
  const at = path.indexOf('.');
  const [model, inner] = [path.slice(0, at), path.slice(at + 1)];
  if (model === 'text_encoder' || model === 'text_encoder_2') return spelling[model] + flat(inner);
  const original = spelling.blocks === 'original' ? originalNames().get(inner) : undefined;
  return `lora_unet_${flat(original ?? inner)}`;
}

let byDiffusers: ReadonlyMap<string, string> | null = null;
/** The last of several names: SDXL's upsamplers follow attention. */
const originalNames = () =>
  (byDiffusers ??= new Map(unetNames().map(([original, diffusers]) => [diffusers, original])));

/** Whether an adapter has the names that a program gives its modules, or is of no known UNet. */
export function hasUNetNames(adapter: Adapter, file: string, tool: UNetTool): boolean {
  const kind = isOfPipeline(adapter) ? unetKindOf(adapter.modules) : null;
  if (!kind) return true;
  const spelled = new Set(withUNetNames(adapter, file, { tool, kind }).modules.map((m) => m.path));
  return adapter.modules.every(({ path }) => spelled.has(path));
}
