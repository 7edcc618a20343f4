import { isConvolution, type Adapter } from '../lora/adapter';
import { isOnExpert } from '../lora/experts';
import type { AdapterFormat } from './adapterFormat';
import { tiedWeight } from './architecture/modules';
import { familyOf } from './architecture/families';
import { pipelineModule } from './diffusion/names';
import type { BaseModel } from './baseModel';
import { ggufFamilyFor } from './gguf/families';

type Other = Exclude<AdapterFormat, 'peft'>;
type Base = Pick<BaseModel, 'spec' | 'replaced'> | null;
/** The formats of files for image pipelines. */
const OF_PIPELINES: ReadonlySet<Other> = new Set(['kohya', 'diffusers', 'ai-toolkit']);
/** The loss, for a message; anything else: nothing is lost. */
type Rule = (adapter: Adapter, base: Base, format: Other) => string | false | null | undefined;

const NAMES: Readonly<Record<Other, string>> = {
  mlx: 'mlx-lm',
  gguf: 'llama.cpp',
  kohya: "kohya's scripts",
  diffusers: 'Diffusers',
  'ai-toolkit': 'ai-toolkit',
};
const trained: Rule = ({ trained: [first, ...others] }, _, format) =>
  first &&
  `${NAMES[format]} cannot store trained tensors (modules_to_save, biases, trainable_token_indices): ${first.name}${others.length > 0 ? ` and ${others.length} more` : ''}`;

const replaced: Rule = (_, base, format) => {
  const [first] = base?.replaced ?? [];
  return (
    first !== undefined &&
    `${NAMES[format]} cannot store ${first}, with which the adapter replaces the base's`
  );
};

const dora: Rule = ({ modules }, _, format) => {
  const scaled = modules.filter((m) => m.magnitude);
  if (format === 'diffusers') return null;
  if (format !== 'mlx') {
    const verb = format === 'kohya' ? 'do' : 'does';
    return scaled.length > 0 && `${NAMES[format]} ${verb} not support DoRA`;
  }
  const own = scaled.find((m) => m.kind === 'embedding');
  return own && `${NAMES.mlx}'s DoRA scales ${own.path} by token, but PEFT's by dimension`;
};

const embeddings: Rule = ({ modules }, _, format) => {
  const own = modules.find((m) => m.kind === 'embedding');
  return (
    own &&
    OF_PIPELINES.has(format) &&
    `${NAMES[format]} ${format === 'kohya' ? 'do' : 'does'} not support adapters of embeddings: ${own.path}`
  );
};

const experts: Rule = ({ modules }, _, format) => {
  const own = modules.find(isOnExpert);
  if (format === 'gguf') return null;
  return own && `adapters of experts cannot be stored for ${NAMES[format]}: ${own.path}`;
};

const convolutions: Rule = ({ modules }, _, format) => {
  const own = modules.find(isConvolution);
  return (
    own &&
    (own.kind === 'conv3d' || !OF_PIPELINES.has(format)) &&
    `${NAMES[format]} does not support adapters of convolutions: ${own.path}`
  );
};

/** Files for language models have the language model alone. */
const towers: Rule = ({ modules }, _, format) => {
  const own = modules.find((m) => /^model\.visual\./.test(m.path));
  return (
    own && `${NAMES[format]} has no place for ${own.path}, which belongs to the vision encoder`
  );
};

/** llama.cpp and mlx-lm use the embedding's weight, with its update, for a tied output layer. */
const tied: Rule = ({ modules }, base, format) => {
  const output = modules.find(
    (m) => m.kind === 'embedding' || m.path === 'lm_head' || m.path === 'embed_out',
  );
  if (!base && format === 'mlx' && output)
    return `whether ${NAMES[format]} supports adapters of ${output.path} depends on the base, which is not given (--base)`;
  const pair = base && !OF_PIPELINES.has(format) ? tiedWeight(base.spec) : null;
  const own = pair && modules.find((m) => [pair.name, pair.storedAs].includes(`${m.path}.weight`));
  if (!own) return null;
  const shared = `${NAMES[format]} has one weight for this base's embedding and output layer`;
  const isBoth = [pair.name, pair.storedAs].every((name) =>
    modules.some((m) => `${m.path}.weight` === name),
  );
  return isBoth
    ? `${shared}, so it cannot store the factors of both`
    : `${shared}, so it cannot adapt ${own.path} alone`;
};

/** Names of kohya's files and of pipelines, whose models mlx-lm and llama.cpp do not have. */
const NO_LANGUAGE_MODEL =
  /^(?:lora|lycoris)_[^.]+$|^(?:unet|text_encoder(?:_\d)?|(?:model\.)?diffusion_model)\./;

/** Names that modules of mlx-lm's models can have in their checkpoints. */
const OF_DECODERS =
  /^(?:model|transformer|gpt_neox|backbone|language_model)\.|^(?:lm_head|embed_out)$/;
/** Of these, names of encoders, of encoder-decoders, and of ModernBERT, which mlx-lm lacks. */
const OF_ENCODERS =
  /^(?:model|transformer)\.(?:encoder|decoder|embeddings|layer)\.|^model\.layers\.\d+\.(?:attn\.W(?:qkv|o)|mlp\.W[io])$/;

/** What only the names can say where no base is given. */
const unnamed: Rule = ({ modules }, base, format) => {
  if (base || format !== 'mlx') return null;
  const own = modules.find(
    ({ path }) =>
      !NO_LANGUAGE_MODEL.test(path) && (!OF_DECODERS.test(path) || OF_ENCODERS.test(path)),
  );
  return (
    own &&
    `${NAMES.mlx} has no place for ${own.path}, which has the name of no decoder's module; if its base is one, choose it (--base)`
  );
};

const pipeline: Rule = ({ modules }, _, format) => {
  if (format === 'kohya') return null;
  if (OF_PIPELINES.has(format)) {
    const own = modules.find((m) => pipelineModule(m.path) === null);
    return (
      own &&
      `${NAMES[format]} has no place for ${own.path}, which is not a known module of Stable Diffusion 1, SDXL or Flux`
    );
  }
  const own = modules.find((m) => NO_LANGUAGE_MODEL.test(m.path));
  return (
    own &&
    `${NAMES[format]} has no place for ${own.path}, which does not belong to a language model`
  );
};

const family: Rule = (_, base, format) => {
  if (!base || OF_PIPELINES.has(format)) return null;
  const { mlx, gguf } = familyOf(base.spec);
  const inMlx = mlx === 'within' ? base.spec.language_model !== undefined : mlx;
  const isKnown = format === 'mlx' ? inMlx : gguf !== null;
  return (
    !isKnown && `the names of the family "${base.spec.family}" in ${NAMES[format]} are not known`
  );
};

const unapplied: Rule = ({ modules }, base, format) => {
  const paths = base && format === 'gguf' ? ggufFamilyFor(base.spec)?.unapplied : undefined;
  const own = paths && modules.find(({ path }) => paths.test(path));
  return own && `${NAMES[format]} does not apply factors of ${own.path} as PEFT does`;
};

const RULES = [
  trained,
  replaced,
  dora,
  embeddings,
  experts,
  convolutions,
  towers,
  tied,
  pipeline,
  unnamed,
  family,
  unapplied,
];

/** What would be lost when an adapter is converted to a format, one text each; empty: nothing. */
export function conversionLosses(adapter: Adapter, base: Base, format: AdapterFormat): string[] {
  return format === 'peft'
    ? []
    : RULES.map((rule) => rule(adapter, base, format)).filter(
        (lost): lost is string => typeof lost === 'string',
      );
}
