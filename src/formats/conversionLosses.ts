import type { Adapter } from '../lora/adapter';
import type { AdapterFormat } from './adapterFormat';
import { tiedWeight } from './architecture/modules';
import { familyOf } from './architecture/families';
import type { BaseModel } from './baseModel';

type Other = Exclude<AdapterFormat, 'peft'>;
type Base = Pick<BaseModel, 'spec' | 'replaced'> | null;
/** What is lost, in words. */
type Rule = (adapter: Adapter, base: Base, format: Other) => string | false | null | undefined;

const NAMES: Readonly<Record<Other, string>> = {
  mlx: 'mlx-lm',
  gguf: 'llama.cpp',
  kohya: "kohya's scripts",
};
const trained: Rule = ({ trained: [first, ...others] }, _, format) =>
  first &&
  `${NAMES[format]} knows no tensors that are trained whole (modules_to_save, biases): ${first.name}${others.length > 0 ? ` and ${others.length} more` : ''}`;

const addedTokens: Rule = (_, base, format) =>
  (base?.replaced.size ?? 0) > 0 &&
  `${NAMES[format]} knows no added tokens, whose embedding the adapter brings`;

const dora: Rule = ({ modules }, _, format) =>
  format !== 'mlx' && modules.some((m) => m.magnitude) && `${NAMES[format]} knows no DoRA`;

const embeddings: Rule = ({ modules }, _, format) => {
  const own = modules.find((m) => m.kind === 'embedding');
  return own && format === 'kohya' && `${NAMES[format]} adapts no embeddings: ${own.path}`;
};

const convolutions: Rule = ({ modules }, _, format) => {
  const own = modules.find((m) => m.kind === 'conv2d');
  return own && format !== 'kohya' && `${NAMES[format]} adapts no convolutions: ${own.path}`;
};

/**
 * llama.cpp and mlx-lm compute a tied output layer with the embedding's weight, its update
 * included.
 */
const tied: Rule = ({ modules }, base, format) => {
  const end = modules.find(
    (m) => m.kind === 'embedding' || m.path === 'lm_head' || m.path === 'embed_out',
  );
  if (!base && format === 'mlx' && end)
    return `whether ${NAMES[format]} can adapt ${end.path} depends on its base, which is not named (--base)`;
  const pair = base && format !== 'kohya' ? tiedWeight(base.spec) : null;
  const own = pair && modules.find((m) => [pair.name, pair.storedAs].includes(`${m.path}.weight`));
  return (
    own &&
    `${NAMES[format]} has one weight for this base's embedding and output layer, so that it cannot adapt ${own.path} alone`
  );
};

const family: Rule = (_, base, format) => {
  if (!base || format === 'kohya') return null;
  const isKnown = format === 'mlx' ? familyOf(base.spec).mlx : familyOf(base.spec).gguf !== null;
  return (
    !isKnown &&
    `${NAMES[format]} has no models of the family "${base.spec.family}" as they are read here`
  );
};

const RULES = [trained, addedTokens, dora, embeddings, convolutions, tied, family];

/** What of an adapter a format cannot carry, in words; empty where it carries all. */
export function conversionLosses(adapter: Adapter, base: Base, format: AdapterFormat): string[] {
  return format === 'peft'
    ? []
    : RULES.map((rule) => rule(adapter, base, format)).filter(
        (lost): lost is string => typeof lost === 'string',
      );
}
