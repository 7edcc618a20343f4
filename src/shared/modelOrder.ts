// The order of a model's parts, by their names: files and adapters list them alphabetically.

const byNumber = new Intl.Collator('en', { numeric: true });

/** What comes before the layers, and what after them. */
const BEFORE = /embed|token_embd|wte|wpe|position_embd|rope_freqs/;
const NORM = /norm|ln_f/;
const HEAD = /head|^output|classifier|score|pooler|cls/;

/** A part with a short name between dots or underscores: attn_q.weight, q_proj, q_lin. */
const short = (name: string) => `(?:^|[._])${name}(?:_proj|_lin)?(?=[._]lora|\\.|$)`;

/** The parts of a layer, in the order in which it computes them. */
const PARTS = [
  /input_layernorm|attn_norm|ln_1|layernorm_before|input_norm/,
  new RegExp(`${short('q')}|query(?!_key)|c_attn|qkv|query_key_value`),
  new RegExp(`${short('k')}|\\bkey\\b`),
  new RegExp(`${short('v')}|\\bvalue\\b`),
  /[qk]_norm/,
  new RegExp(
    `${short('o')}|attn_output|out_proj|out_lin|attn\\.c_proj|attention\\.(?:output\\.)?dense`,
  ),
  /post_attention|ffn_norm|ln_2|layernorm_after|attention\.output\.LayerNorm|sa_layer_norm/,
  /gate/,
  /\bup|ffn_up|c_fc|intermediate|h_to_4h|lin1|fc1|fc_in/,
  /down|mlp\.c_proj|4h_to_h|lin2|fc2|fc_out|output\.dense/,
];

/** Compares names of modules or tensors so that they are in the model's order. */
export function inModelOrder(a: string, b: string): number {
  const [x, y] = [placeOf(a), placeOf(b)];
  return (
    x.part - y.part ||
    byNumber.compare(x.stack, y.stack) ||
    x.layer - y.layer ||
    x.rank - y.rank ||
    byNumber.compare(a, b)
  );
}

interface NamePlace {
  /** 0: before the layers, 1: in a layer, 2: unknown, 3: the last norm, 4: the head. */
  readonly part: number;
  readonly stack: string;
  readonly layer: number;
  readonly rank: number;
}

function placeOf(name: string): NamePlace {
  const [, stack, layer, rest] = /^(.*?)\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (stack === undefined) return { part: outside(name), stack: '', layer: 0, rank: rankOf(name) };
  return { part: 1, stack, layer: Number(layer), rank: rankOf(rest!) };
}

function outside(name: string): number {
  if (BEFORE.test(name)) return 0;
  if (NORM.test(name)) return 3;
  return HEAD.test(name) ? 4 : 2;
}

/** The place of a part in its layer; unknown ones are last. */
export function rankOf(kind: string): number {
  const found = PARTS.findIndex((part) => part.test(kind));
  return found < 0 ? PARTS.length : found;
}
