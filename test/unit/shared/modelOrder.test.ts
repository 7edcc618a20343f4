import { expect, it } from 'vitest';
import { inModelOrder } from '../../../src/shared/modelOrder';

const MODELS: Readonly<Record<string, readonly string[]>> = {
  'a checkpoint of Llama': [
    'model.embed_tokens.weight',
    ...['2', '10'].flatMap((layer) =>
      [
        'input_layernorm',
        'self_attn.q_proj',
        'self_attn.k_proj',
        'self_attn.v_proj',
        'self_attn.q_norm',
        'self_attn.o_proj',
        'post_attention_layernorm',
        'mlp.gate_proj',
        'mlp.up_proj',
        'mlp.down_proj',
      ].map((name) => `model.layers.${layer}.${name}.weight`),
    ),
    'model.norm.weight',
    'lm_head.weight',
  ],
  'a .gguf file': [
    'token_embd.weight',
    ...['2', '10'].flatMap((layer) =>
      [
        'attn_norm',
        'attn_q',
        'attn_k',
        'attn_v',
        'attn_output',
        'ffn_norm',
        'ffn_gate',
        'ffn_up',
        'ffn_down',
      ].map((name) => `blk.${layer}.${name}.weight`),
    ),
    'output_norm.weight',
    'output.weight',
  ],
  'an adapter': ['q', 'k', 'v', 'o', 'gate', 'up', 'down'].map(
    (name) =>
      `base_model.model.model.layers.0.${/gate|up|down/.test(name) ? 'mlp' : 'self_attn'}.${name}_proj.lora_A.weight`,
  ),
  'the suffixes of target_modules': ['q', 'k', 'v', 'o', 'gate', 'up', 'down'].map(
    (name) => `${name}_proj`,
  ),
  BERT: [
    'bert.embeddings.word_embeddings',
    ...['attention.self.query', 'attention.self.key', 'attention.self.value'].map(
      (name) => `bert.encoder.layer.0.${name}`,
    ),
    'bert.encoder.layer.0.attention.output.dense',
    'bert.encoder.layer.0.intermediate.dense',
    'bert.encoder.layer.0.output.dense',
    'classifier',
  ],
  'GPT-2': ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map(
    (name) => `transformer.h.0.${name}`,
  ),
};

it.each(Object.entries(MODELS))('puts the parts of %s in the order of the model', (_, names) => {
  const alphabetical = [...names].sort();
  expect(alphabetical.sort(inModelOrder)).toEqual(names);
  expect([...names].reverse().sort(inModelOrder)).toEqual(names);
});
