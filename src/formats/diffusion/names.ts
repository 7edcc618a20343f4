import { flat } from '../kohya/names';
import { clipNames, openClipNames, t5Names } from './encoderNames';
import { fluxModules, xlabsModules } from './fluxNames';
import { unetNames } from './unetNames';

/** The models of a pipeline, as Diffusers names them. */
export type PipelineModel = 'unet' | 'transformer' | 'text_encoder' | 'text_encoder_2';

/** How the rows of a module are those of Diffusers' modules. */
export type RowOrder =
  /** It is the same module. */
  | 'same'
  /** The same with its halves exchanged. */
  | 'swapped'
  /** Those of several modules, one below the other. */
  | 'stacked';

/** A module of an image pipeline. */
export interface PipelineModule {
  /** Its paths in Diffusers' pipelines, in the order of the rows: unet.…, text_encoder_2.… */
  readonly paths: readonly string[];
  readonly rows: RowOrder;
}

/** A module within its model. */
interface KnownModule {
  readonly model: 'unet' | 'transformer' | 'encoder';
  readonly paths: readonly string[];
  readonly rows: RowOrder;
}

type ByFlatName = ReadonlyMap<string, KnownModule>;

const same = (model: KnownModule['model'], path: string): KnownModule => ({
  model,
  paths: [path],
  rows: 'same',
});

/** Modules of UNets and of Flux' transformer in all spellings, with underscores for dots. */
function imageModules(): ByFlatName {
  const found = new Map<string, KnownModule>();
  for (const [original, path] of unetNames()) {
    found.set(flat(original), same('unet', path));
    found.set(flat(path), same('unet', path));
  }
  for (const { original, diffusers, isSwapped } of [...fluxModules(), ...xlabsModules()]) {
    const joined = diffusers.length > 1 ? 'stacked' : 'same';
    const rows = isSwapped ? 'swapped' : joined;
    found.set(flat(original), { model: 'transformer', paths: diffusers, rows });
    for (const path of diffusers) found.set(flat(path), same('transformer', path));
  }
  return found;
}

/** Modules of CLIP's text models and of T5's encoder. */
function encoderModules(): ByFlatName {
  const found = new Map<string, KnownModule>();
  for (const path of clipNames()) {
    const own = same('encoder', `text_model.${path}`);
    found.set(flat(path), own);
    found.set(flat(`text_model.${path}`), own);
  }
  for (const [original, parts] of openClipNames()) {
    const paths = parts.map((path) => `text_model.${path}`);
    const rows = paths.length > 1 ? 'stacked' : 'same';
    found.set(flat(original), { model: 'encoder', paths, rows });
  }
  for (const path of t5Names()) found.set(flat(path), same('encoder', path));
  found.set(TEXT_PROJECTION, same('encoder', TEXT_PROJECTION));
  return found;
}

/** The linear layer behind the second text encoder of SDXL; the first encoders have none. */
const TEXT_PROJECTION = 'text_projection';

let known: { readonly image: ByFlatName; readonly encoder: ByFlatName } | null = null;
const knownModules = () => (known ??= { image: imageModules(), encoder: encoderModules() });

/** The text before a module's path, and the models that it names. */
const PREFIXES: readonly (readonly [RegExp, 'image' | 'text_encoder' | 'text_encoder_2'])[] = [
  [/^(?:lora_unet_|lora_transformer_|lycoris_)/, 'image'],
  [/^(?:(?:model\.)?diffusion_model\.|unet\.|transformer\.(?!resblocks\.))/, 'image'],
  [/^lora_te1?_/, 'text_encoder'],
  [/^lora_te[23]_/, 'text_encoder_2'],
  [/^text_encoder\./, 'text_encoder'],
  [/^text_encoder_2\./, 'text_encoder_2'],
  [/^(?:cond_stage_model|conditioner\.embedders\.0)\.transformer\./, 'text_encoder'],
  [/^conditioner\.embedders\.1\.model\./, 'text_encoder_2'],
  [/^text_encoders\.clip_l\.(?:transformer\.)?/, 'text_encoder'],
  [/^text_encoders\.(?:clip_g|t5xxl)\.(?:transformer\.)?/, 'text_encoder_2'],
  [/^(?=text_model\.)/, 'text_encoder'],
  [/^/, 'image'],
];

/**
 * A module of SD 1, SDXL or Flux by its name in a checkpoint or an adapter, whatever program wrote
 * it; null: none that is known. kohya's names have underscores for dots.
 */
export function pipelineModule(name: string): PipelineModule | null {
  const [prefix, kind] = PREFIXES.find(([expression]) => expression.test(name))!;
  const { image, encoder } = knownModules();
  const own = (kind === 'image' ? image : encoder).get(flat(name.replace(prefix, '')));
  if (!own || (kind === 'text_encoder' && own.paths[0] === TEXT_PROJECTION)) return null;
  const model = kind === 'image' ? own.model : kind;
  return { paths: own.paths.map((path) => `${model}.${path}`), rows: own.rows };
}

/** The model of a pipeline that a path in Diffusers' pipelines begins with. */
export const modelOf = (path: string): PipelineModel =>
  path.slice(0, path.indexOf('.')) as PipelineModel;
