/** An original module of Flux, and those of Diffusers that have its rows, from the first on. */
export interface FluxModule {
  readonly original: string;
  readonly diffusers: readonly string[];
  /** The halves of the rows are exchanged: scale and shift instead of shift and scale. */
  readonly isSwapped?: true;
}

/** More than any Flux has: 19 and 38. */
const DOUBLE_BLOCKS = 32;
const SINGLE_BLOCKS = 64;

const one = (original: string, ...diffusers: readonly string[]): FluxModule => ({
  original,
  diffusers,
});

const OUTSIDE: readonly FluxModule[] = [
  one('img_in', 'x_embedder'),
  one('txt_in', 'context_embedder'),
  ...(
    [
      ['time_in', 'timestep_embedder'],
      ['vector_in', 'text_embedder'],
      ['guidance_in', 'guidance_embedder'],
    ] as const
  ).flatMap(([original, diffusers]) => [
    one(`${original}.in_layer`, `time_text_embed.${diffusers}.linear_1`),
    one(`${original}.out_layer`, `time_text_embed.${diffusers}.linear_2`),
  ]),
  one('final_layer.linear', 'proj_out'),
  { original: 'final_layer.adaLN_modulation.1', diffusers: ['norm_out.linear'], isSwapped: true },
];

function doubleBlock(n: number): FluxModule[] {
  const [original, diffusers] = [`double_blocks.${n}`, `transformer_blocks.${n}`];
  const own = (name: string, ...parts: readonly string[]) =>
    one(`${original}.${name}`, ...parts.map((part) => `${diffusers}.${part}`));
  return [
    own('img_mod.lin', 'norm1.linear'),
    own('txt_mod.lin', 'norm1_context.linear'),
    own('img_attn.qkv', 'attn.to_q', 'attn.to_k', 'attn.to_v'),
    own('txt_attn.qkv', 'attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'),
    own('img_attn.proj', 'attn.to_out.0'),
    own('txt_attn.proj', 'attn.to_add_out'),
    own('img_mlp.0', 'ff.net.0.proj'),
    own('img_mlp.2', 'ff.net.2'),
    own('txt_mlp.0', 'ff_context.net.0.proj'),
    own('txt_mlp.2', 'ff_context.net.2'),
  ];
}

function singleBlock(n: number): FluxModule[] {
  const [original, diffusers] = [`single_blocks.${n}`, `single_transformer_blocks.${n}`];
  const own = (name: string, ...parts: readonly string[]) =>
    one(`${original}.${name}`, ...parts.map((part) => `${diffusers}.${part}`));
  return [
    own('modulation.lin', 'norm.linear'),
    own('linear1', 'attn.to_q', 'attn.to_k', 'attn.to_v', 'proj_mlp'),
    own('linear2', 'proj_out'),
  ];
}

const each = (count: number, block: (n: number) => FluxModule[]): FluxModule[] =>
  Array.from({ length: count }, (_, n) => block(n)).flat();

/**
 * What XLabs' processors add to the products of a block: q, k and v of the image (1) and the text
 * (2), and the products after attention. Their names lack `processor.` here.
 */
export const xlabsModules = (): readonly FluxModule[] => {
  const double = each(DOUBLE_BLOCKS, (n) => {
    const [, , image, text, afterImage, afterText] = doubleBlock(n);
    const parts = {
      qkv_lora1: image,
      qkv_lora2: text,
      proj_lora1: afterImage,
      proj_lora2: afterText,
    };
    return Object.entries(parts).map(([name, own]) =>
      one(`double_blocks.${n}.${name}`, ...own!.diffusers),
    );
  });
  const single = each(SINGLE_BLOCKS, (n) => {
    const [, first, second] = singleBlock(n);
    return [
      one(`single_blocks.${n}.qkv_lora`, ...first!.diffusers.slice(0, 3)),
      one(`single_blocks.${n}.proj_lora`, ...second!.diffusers),
    ];
  });
  return [...double, ...single];
};

/** The linear layers of Flux' transformer. */
export const fluxModules = (): readonly FluxModule[] => [
  ...OUTSIDE,
  ...each(DOUBLE_BLOCKS, doubleBlock),
  ...each(SINGLE_BLOCKS, singleBlock),
];
