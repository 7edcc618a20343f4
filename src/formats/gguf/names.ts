import type { GgufFamily, GgufLayers } from './family';

/** RoPE factors, which are computed from the config or become part of it. */
const ROTARY = /^(?:blk\.\d+\.)?(?:rope_freqs|attn_rot_embd|rope_factors_(?:long|short))\.weight$/;

/** Whether a tensor holds factors of RoPE, and no weights. */
export const isRotaryFactors = (gguf: string): boolean => ROTARY.test(gguf);

const layersOf = (family: GgufFamily): readonly GgufLayers[] => [
  family,
  ...(family.more_layers ?? []),
];

const prefixOf = ({ prefix = 'blk' }: GgufLayers): string => prefix;

/** A tensor's name in the checkpoint; null: it is not a weight; undefined: the family lacks it. */
export function checkpointName(gguf: string, family: GgufFamily): string | null | undefined {
  const own = family.top.get(gguf);
  if (own !== undefined) return own;
  if (isRotaryFactors(gguf)) return null;
  for (const group of layersOf(family)) {
    const start = `${prefixOf(group)}.`;
    if (!gguf.startsWith(start)) continue;
    const [, layer, rest = ''] = /^(\d+)\.(.+)$/.exec(gguf.slice(start.length)) ?? [];
    const name = layer === undefined ? undefined : nameInLayer(rest, group);
    if (name !== undefined) return `${group.layers}.${layer}.${name}`;
  }
  return undefined;
}

function nameInLayer(gguf: string, { parts, tensors }: GgufLayers): string | undefined {
  const own = tensors?.get(gguf);
  if (own !== undefined) return own;
  const [, part = '', kind] = /^(.+)\.(weight|bias)$/.exec(gguf) ?? [];
  const path = parts.get(part);
  return path === undefined ? undefined : `${path}.${kind}`;
}

/** The name in a GGUF file of a checkpoint's tensor; undefined: the family lacks it. */
export function ggufName(name: string, family: GgufFamily): string | undefined {
  const own = keyOf(family.top, name);
  if (own !== undefined) return own;
  for (const group of layersOf(family)) {
    if (!name.startsWith(`${group.layers}.`)) continue;
    const [, layer, rest = ''] = /^(\d+)\.(.+)$/.exec(name.slice(group.layers.length + 1)) ?? [];
    const gguf = layer === undefined ? undefined : ggufNameInLayer(rest, group);
    if (gguf !== undefined) return `${prefixOf(group)}.${layer}.${gguf}`;
  }
  return undefined;
}

function ggufNameInLayer(
  name: string,
  { parts, tensors = new Map() }: GgufLayers,
): string | undefined {
  const own = keyOf(tensors, name);
  if (own !== undefined) return own;
  const [, path = '', kind] = /^(.+)\.(weight|bias)$/.exec(name) ?? [];
  const part = keyOf(parts, path);
  return part === undefined ? undefined : `${part}.${kind}`;
}

const keyOf = (map: ReadonlyMap<string, string>, value: string): string | undefined =>
  [...map].find(([, own]) => own === value)?.[0];

/** The number of the block that a tensor of a GGUF file belongs to; null: to none. */
export function blockOf(gguf: string): number | null {
  const [, block] = /^blk\.(\d+)\./.exec(gguf) ?? [];
  return block === undefined ? null : Number(block);
}
