/** A module's path in the original checkpoints, and in Diffusers. */
export type NamePair = readonly [original: string, diffusers: string];

/** Levels of SD's UNet; SDXL has three. */
const LEVELS = 4;
/** Layers of a level in the downward half; the upward half has one more. */
const LAYERS = 2;
/** Transformer blocks of SDXL's deepest level. */
const DEPTH = 10;

const ATTENTION = [
  ...['attn1', 'attn2'].flatMap((own) =>
    ['to_q', 'to_k', 'to_v', 'to_out.0'].map((layer) => `${own}.${layer}`),
  ),
  'ff.net.0.proj',
  'ff.net.2',
];

const RESNET: readonly NamePair[] = [
  ['in_layers.2', 'conv1'],
  ['emb_layers.1', 'time_emb_proj'],
  ['out_layers.3', 'conv2'],
  ['skip_connection', 'conv_shortcut'],
];

const OUTSIDE: readonly NamePair[] = [
  ['time_embed.0', 'time_embedding.linear_1'],
  ['time_embed.2', 'time_embedding.linear_2'],
  ['label_emb.0.0', 'add_embedding.linear_1'],
  ['label_emb.0.2', 'add_embedding.linear_2'],
  ['input_blocks.0.0', 'conv_in'],
  ['out.2', 'conv_out'],
];

const below = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function attention(original: string, diffusers: string): NamePair[] {
  const inner = below(DEPTH).flatMap((block) =>
    ATTENTION.map((layer) => `transformer_blocks.${block}.${layer}`),
  );
  return ['proj_in', 'proj_out', ...inner].map((own) => [
    `${original}.${own}`,
    `${diffusers}.${own}`,
  ]);
}

const resnet = (original: string, diffusers: string): NamePair[] =>
  RESNET.map(([a, b]) => [`${original}.${a}`, `${diffusers}.${b}`]);

function downLevel(level: number): NamePair[] {
  const block = `down_blocks.${level}`;
  const layers = below(LAYERS).flatMap((layer) => {
    const input = `input_blocks.${level * (LAYERS + 1) + layer + 1}`;
    return [
      ...resnet(`${input}.0`, `${block}.resnets.${layer}`),
      ...attention(`${input}.1`, `${block}.attentions.${layer}`),
    ];
  });
  const last = `input_blocks.${(level + 1) * (LAYERS + 1)}.0.op`;
  return [...layers, [last, `${block}.downsamplers.0.conv`]];
}

function upLevel(level: number): NamePair[] {
  const block = `up_blocks.${level}`;
  const layers = below(LAYERS + 1).flatMap((layer) => {
    const output = `output_blocks.${level * (LAYERS + 1) + layer}`;
    return [
      ...resnet(`${output}.0`, `${block}.resnets.${layer}`),
      ...attention(`${output}.1`, `${block}.attentions.${layer}`),
    ];
  });
  const last = `output_blocks.${level * (LAYERS + 1) + LAYERS}`;
  // the second of its block where that has no attention
  const upsampler = [1, 2].map((n): NamePair => [
    `${last}.${n}.conv`,
    `${block}.upsamplers.0.conv`,
  ]);
  return [...layers, ...upsampler];
}

/**
 * The linear layers and convolutions of the UNets of Stable Diffusion 1 and SDXL. Each original
 * module is one of Diffusers.
 */
export const unetNames = (): readonly NamePair[] => [
  ...OUTSIDE,
  ...below(LEVELS).flatMap(downLevel),
  ...resnet('middle_block.0', 'mid_block.resnets.0'),
  ...attention('middle_block.1', 'mid_block.attentions.0'),
  ...resnet('middle_block.2', 'mid_block.resnets.1'),
  ...below(LEVELS).flatMap(upLevel),
];
