/** GGUF's tensor names of the Llama family and its relatives -> the original checkpoint's. */
const TOP: ReadonlyMap<string, string> = new Map([['token_embd.weight', 'model.embed_tokens.weight'], ['output_norm.weight', 'model.norm.weight'], ['output.weight', 'lm_head.weight']]);

const IN_LAYER: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'], ['ffn_norm', 'post_attention_layernorm'],
  ['attn_q', 'self_attn.q_proj'], ['attn_k', 'self_attn.k_proj'], ['attn_v', 'self_attn.v_proj'], ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'], ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_gate', 'mlp.gate_proj'], ['ffn_up', 'mlp.up_proj'], ['ffn_down', 'mlp.down_proj'],
]);

/** Rotary frequencies: they follow from the config, or become part of it. */
const ROTARY = /^(?:blk\.\d+\.)?(?:rope_freqs|attn_rot_embd)\.weight$/;

/** The original's name; null for a tensor that is no weight of the original; undefined for one that the family does not have. */
export function checkpointName(gguf: string): string | null | undefined {
  const top = TOP.get(gguf);
  if (top !== undefined) return top;
  if (ROTARY.test(gguf)) return null;
  const [, layer, part = '', kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(gguf) ?? [];
  const name = IN_LAYER.get(part);
  return name === undefined ? undefined : `model.layers.${layer}.${name}.${kind}`;
}

/** Puts rotary halves back: llama.cpp stores the rows 2i and 2i + 1 of a head where the checkpoint has i and head_dim / 2 + i. */
export function undoRotaryOrder(data: Float32Array, rows: number, head_dim: number, result: Float32Array = new Float32Array(data.length)): Float32Array {
  const width = data.length / rows;
  const half = head_dim / 2;
  for (let row = 0; row < rows; row++) {
    const inHead = row % head_dim;
    const target = row - inHead + (inHead % 2) * half + (inHead >> 1);
    result.set(data.subarray(row * width, (row + 1) * width), target * width);
  }
  return result;
}
