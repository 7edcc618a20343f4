import { isObject } from '../../../shared/values';
import { ConfigReader, type Config } from '../config';
import { layerNorm, linear, NO_NORMS, readActivation } from '../sizes';
import type { LayerSpec, Spec } from '../spec';
import type { MergerSpec, VisionSpec } from '../spec';

const PATH = 'model.visual';
const EPS = 1e-6;
const MOST_LAYERS = 4096;
const MOST_SIDE = 1024;

interface VisionSizes {
  readonly d: number;
  readonly inner: number;
  readonly heads: number;
  readonly merge: number;
  readonly out: number;
}

/**
 * The vision encoder of a Qwen3-VL, from the config of the whole model; what it leaves out is as
 * in transformers.
 *
 * @throws LoraError('base') naming the key.
 */
export function qwen3Vision(config: Config, file: string): VisionSpec {
  const whole = new ConfigReader(config, file);
  const { vision_config: own } = config;
  const reader = new ConfigReader(isObject(own) ? own : {}, file);
  const depth = reader.count('depth', 27, MOST_LAYERS);
  const sizes: VisionSizes = {
    d: reader.count('hidden_size', 1152),
    inner: reader.count('intermediate_size', 4304),
    heads: reader.count('num_heads', 16),
    merge: reader.count('spatial_merge_size', 2, MOST_SIDE),
    out: reader.count('out_hidden_size', 3584),
  };
  const { d, heads } = sizes;
  if (d % (4 * heads) !== 0)
    throw reader.bad(
      'num_heads',
      `must divide hidden_size = ${d} into heads of four or more pairs`,
    );
  const patch = reader.count('patch_size', 16, MOST_SIDE);
  const frames = reader.count('temporal_patch_size', 2, 16);
  const channels = reader.count('in_channels', 3, 16);
  const rows = reader.count('num_position_embeddings', 2304);
  if (!Number.isInteger(Math.sqrt(rows)))
    throw reader.bad('num_position_embeddings', `must be a square, not ${rows}`);
  const blocks = deepstackBlocks(reader, depth);
  return {
    path: PATH,
    image_token: whole.count('image_token_id', 151_655, undefined, 0),
    tower: towerOf(reader, sizes, depth),
    patches: linear(`${PATH}.patch_embed.proj`, channels * frames * patch ** 2, d, true),
    channels,
    frames,
    patch,
    positions: { path: `${PATH}.pos_embed`, rows },
    merge: sizes.merge,
    merger: mergerOf(`${PATH}.merger`, sizes, 'patch'),
    deepstack: blocks.map((block, i) => ({
      block,
      merger: mergerOf(`${PATH}.deepstack_merger_list.${i}`, sizes, 'token'),
    })),
  };
}

function deepstackBlocks(reader: ConfigReader, depth: number): readonly number[] {
  const key = 'deepstack_visual_indexes';
  const blocks: unknown = reader.raw(key) ?? [8, 16, 24];
  const isBlock = (n: unknown, i: number, all: readonly unknown[]) =>
    typeof n === 'number' && Number.isInteger(n) && n >= 0 && n < depth && all.indexOf(n) === i;
  if (Array.isArray(blocks) && blocks.every(isBlock) && isAscending(blocks as number[]))
    return blocks as number[];
  throw reader.bad(key, `must name some of ${depth} blocks in their order`);
}

const isAscending = (numbers: readonly number[]): boolean =>
  numbers.every((n, i) => i === 0 || n > numbers[i - 1]!);

function towerOf(reader: ConfigReader, sizes: VisionSizes, depth: number): Spec {
  return {
    family: 'qwen3_vl_vision',
    task: 'causal_lm',
    hidden_size: sizes.d,
    vocab_size: 0,
    num_layers: depth,
    causal: false,
    embedding: {
      kind: 'tokens',
      tokens: { path: `${PATH}.pos_embed`, rows: 0 },
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: depth }, (_, i) => blockOf(reader, sizes, i)),
    final_norm: null,
    head: { kind: 'vector', pool: { kind: 'first' }, projection: null },
  };
}

function blockOf(reader: ConfigReader, { d, inner, heads }: VisionSizes, i: number): LayerSpec {
  const prefix = `${PATH}.blocks.${i}`;
  const head_dim = d / heads;
  return {
    residual: 'sequential',
    attention: {
      num_heads: heads,
      num_kv_heads: heads,
      head_dim,
      layout: 'stacked',
      qkv: [linear(`${prefix}.attn.qkv`, d, 3 * d, true)],
      o: linear(`${prefix}.attn.proj`, d, d, true),
      qk_norm: null,
      rope: {
        theta: thetaOf(reader),
        rotary_dim: head_dim,
        scaling: { kind: 'default' },
        axes: { kind: 'halves' },
      },
      scale: 1 / Math.sqrt(head_dim),
      window: null,
      softcap: null,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu_pytorch_tanh'),
      up: linear(`${prefix}.mlp.linear_fc1`, d, inner, true),
      down: linear(`${prefix}.mlp.linear_fc2`, inner, d, true),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${prefix}.norm1`, d, EPS),
      mlp_in: layerNorm(`${prefix}.norm2`, d, EPS),
    },
  };
}

function thetaOf(reader: ConfigReader): number {
  const parameters = reader.raw('rope_parameters');
  const own = isObject(parameters) ? parameters : {};
  return new ConfigReader(own, reader.file).positive('rope_theta', 10_000);
}

function mergerOf(
  path: string,
  { d, merge, out }: VisionSizes,
  over: 'patch' | 'token',
): MergerSpec {
  const wide = d * merge ** 2;
  return {
    norm: layerNorm(`${path}.norm`, over === 'patch' ? d : wide, EPS),
    up: linear(`${path}.linear_fc1`, wide, wide, true),
    down: linear(`${path}.linear_fc2`, wide, out, true),
  };
}
