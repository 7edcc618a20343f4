import type { GgufFamily } from './family';

/** RoPE factors, which are computed from the config or become part of it. */
const ROTARY = /^(?:blk\.\d+\.)?(?:rope_freqs|attn_rot_embd|rope_factors_(?:long|short))\.weight$/;

/** A tensor's name in the checkpoint; null: it is not a weight; undefined: the family lacks it. */
export function checkpointName(
  gguf: string,
  { top, layers, parts }: GgufFamily,
): string | null | undefined {
  const own = top.get(gguf);
  if (own !== undefined) return own;
  if (ROTARY.test(gguf)) return null;
  const [, layer, part = '', kind] = /^blk\.(\d+)\.([\w.]+)\.(weight|bias)$/.exec(gguf) ?? [];
  const name = parts.get(part);
  return name === undefined ? undefined : `${layers}.${layer}.${name}.${kind}`;
}

/** The name in a GGUF file of a checkpoint's tensor; undefined: the family lacks it. */
export function ggufName(name: string, { top, layers, parts }: GgufFamily): string | undefined {
  const own = [...top].find(([, checkpoint]) => checkpoint === name)?.[0];
  if (own !== undefined) return own;
  if (!name.startsWith(`${layers}.`)) return undefined;
  const [, layer, path, kind] =
    /^(\d+)\.(.+)\.(weight|bias)$/.exec(name.slice(layers.length + 1)) ?? [];
  const part = [...parts].find(([, checkpoint]) => checkpoint === path)?.[0];
  return part === undefined ? undefined : `blk.${layer}.${part}.${kind}`;
}
