import * as v from 'valibot';
import { parsed } from '../../parsed';
import { IMAGE_SOURCES, KEPT_TYPES, MEMORY_FITS, STEP_REASONS } from '../../stepMemory';

// The messages between the page that configures rank and targets and its host. Both check them.

const number = v.pipe(v.number(), v.finite());
const text = v.string();
const whole = v.pipe(v.number(), v.integer(), v.minValue(0));

const RankSettingsSchema = v.object({
  r: v.pipe(v.number(), v.integer(), v.minValue(1)),
  lora_alpha: v.pipe(v.number(), v.finite(), v.gtValue(0)),
  use_rslora: v.boolean(),
  use_dora: v.boolean(),
});
export type RankSettings = v.InferOutput<typeof RankSettingsSchema>;

const ModuleSchema = v.object({
  path: text,
  kind: text,
  layer: v.nullable(whole),
  in_features: whole,
  out_features: whole,
});
export type ModuleChoice = v.InferOutput<typeof ModuleSchema>;

const MemorySchema = v.object({
  weights: number,
  adapter: number,
  gradients: number,
  optimizer: number,
  activations: number,
  working: number,
  total: number,
});
export type Memory = v.InferOutput<typeof MemorySchema>;

/**
 * `tooHigh`: modules smaller than the rank; `otherRanks`: those to which rank_pattern gives another
 * one; `update` and `whole`: numbers that train in one module with LoRA, and in full. The memory is
 * estimated for rows of `length`: of the `longest` row, or max_length where that is unknown (null).
 * `images`: of chats, the largest that it counts. Null: it is not estimated; `full` of layers
 * models, which are not trained in full.
 * `types`: that of each type in which the base can be kept; `step`: the one of a run, how many
 * layers are recomputed, and why; null where nothing is chosen.
 * `seconds`: about; null where unknown.
 */
const FiguresSchema = v.object({
  trainable: number,
  parameters: number,
  modules: whole,
  tooHigh: whole,
  otherRanks: whole,
  scaling: number,
  fileBytes: number,
  memory: v.nullable(MemorySchema),
  full: v.nullable(MemorySchema),
  types: v.array(
    v.object({
      base_dtype: v.picklist(KEPT_TYPES),
      bytes: number,
      recomputed_bytes: number,
      fit: v.picklist(MEMORY_FITS),
    }),
  ),
  step: v.nullable(
    v.object({
      kept: v.picklist(KEPT_TYPES),
      recomputed: whole,
      layers: whole,
      why: v.picklist(STEP_REASONS),
    }),
  ),
  there: number,
  batch: whole,
  length: whole,
  images: v.nullable(v.object({ tokens: number, from: v.picklist(IMAGE_SOURCES) })),
  longest: v.nullable(whole),
  forecast: v.nullable(v.object({ epochs: number, steps: whole, seconds: v.nullable(number) })),
  kinds: v.array(
    v.object({
      name: text,
      modules: whole,
      in_features: whole,
      out_features: whole,
      update: number,
      whole: number,
    }),
  ),
});
export type Figures = v.InferOutput<typeof FiguresSchema>;

/**
 * Published models, each with the memory of a step of `rows` for an adapter of this rank, in the
 * forms that its weights can have.
 */
const SizesSchema = v.object({
  rows: whole,
  length: whole,
  rank: whole,
  there: number,
  models: v.array(
    v.object({
      model: text,
      parameters: number,
      forms: v.array(
        v.object({
          name: text,
          bytes: number,
          recomputed_bytes: number,
          fit: v.picklist(MEMORY_FITS),
        }),
      ),
    }),
  ),
});
export type Sizes = v.InferOutput<typeof SizesSchema>;

/** `act`: what the button sends back. */
const AdviceSchema = v.object({
  text: text,
  button: v.nullable(v.object({ label: text, act: whole })),
});
export type AdviceLine = v.InferOutput<typeof AdviceSchema>;

const chosen = v.array(whole);

/**
 * From the host. `chosen`: indices into `modules`; `applied`: the last choice of the page that is
 * in it; `dirty`: it has unsaved changes.
 */
export const ConfigureHostMessageSchema = v.variant('kind', [
  v.object({
    kind: v.literal('recipe'),
    file: text,
    base: text,
    modules: v.array(ModuleSchema),
    settings: RankSettingsSchema,
    chosen,
    applied: whole,
    dirty: v.boolean(),
    figures: FiguresSchema,
    advice: v.array(AdviceSchema),
  }),
  v.object({ kind: v.literal('figures'), figures: FiguresSchema }),
  v.object({ kind: v.literal('advice'), advice: v.array(AdviceSchema) }),
  v.object({ kind: v.literal('sizes'), sizes: SizesSchema }),
  v.object({
    kind: v.literal('fault'),
    message: text,
    missing: v.optional(v.literal('base')),
  }),
]);
export type ConfigureHostMessage = v.InferOutput<typeof ConfigureHostMessageSchema>;

/**
 * From the page: a choice to see the cost of, or to write into the recipe (counted by `id`, from
 * 1).
 */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('preview'), settings: RankSettingsSchema, chosen }),
  v.object({ kind: v.literal('apply'), id: whole, settings: RankSettingsSchema, chosen }),
  v.object({ kind: v.literal('act'), act: whole }),
  v.object({
    kind: v.picklist([
      'openRecipe',
      'openGuide',
      'chooseBase',
      'downloadBase',
      'save',
      'run',
      'sweep',
    ]),
  }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type ConfigurePageMessage = v.InferOutput<typeof PageMessageSchema>;

const PageStateSchema = v.object({
  recipe: text,
  open: v.optional(v.array(text)),
  by: v.optional(v.picklist(['kind', 'layer'])),
});
/** What a page keeps when it is reloaded: its recipe, grouping, and open groups. */
export type ConfigurePageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asConfigurePageMessage = parsed(PageMessageSchema);
export const asConfigurePageState = parsed(PageStateSchema);
