import { describe, expect, it } from 'vitest';
import { ggufFamilyOf, GGUF_FAMILIES } from '../../../../src/formats/gguf/families';
import { llamaLikeGguf, rotaryStorage } from '../../../../src/formats/gguf/family';
import { checkpointName, ggufName } from '../../../../src/formats/gguf/names';

const llama = llamaLikeGguf('llama');
const OF_LLAMA: readonly (readonly [string, string])[] = [
  ['token_embd.weight', 'model.embed_tokens.weight'],
  ['output_norm.weight', 'model.norm.weight'],
  ['output.weight', 'lm_head.weight'],
  ['blk.0.attn_norm.weight', 'model.layers.0.input_layernorm.weight'],
  ['blk.1.ffn_norm.weight', 'model.layers.1.post_attention_layernorm.weight'],
  ['blk.2.attn_q.weight', 'model.layers.2.self_attn.q_proj.weight'],
  ['blk.2.attn_q.bias', 'model.layers.2.self_attn.q_proj.bias'],
  ['blk.3.attn_k.weight', 'model.layers.3.self_attn.k_proj.weight'],
  ['blk.4.attn_v.weight', 'model.layers.4.self_attn.v_proj.weight'],
  ['blk.5.attn_output.weight', 'model.layers.5.self_attn.o_proj.weight'],
  ['blk.6.attn_q_norm.weight', 'model.layers.6.self_attn.q_norm.weight'],
  ['blk.7.attn_k_norm.weight', 'model.layers.7.self_attn.k_norm.weight'],
  ['blk.8.ffn_gate.weight', 'model.layers.8.mlp.gate_proj.weight'],
  ['blk.9.ffn_up.weight', 'model.layers.9.mlp.up_proj.weight'],
  ['blk.12.ffn_down.weight', 'model.layers.12.mlp.down_proj.weight'],
];

describe('the tensor names of Llama', () => {
  it.each(OF_LLAMA)('map %s to %s in the checkpoint', (gguf, checkpoint) => {
    expect(checkpointName(gguf, llama)).toBe(checkpoint);
    expect(ggufName(checkpoint, llama)).toBe(gguf);
  });

  it.each([
    'rope_freqs.weight',
    'rope_factors_long.weight',
    'rope_factors_short.weight',
    'blk.0.rope_freqs.weight',
    'blk.10.attn_rot_embd.weight',
  ])('map %s to no weight', (name) => {
    expect(checkpointName(name, llama)).toBeNull();
  });

  it.each([
    'rope_freqs.weight.lora_a',
    'x.rope_freqs.weight',
    'blk.x.rope_freqs.weight',
    'rope_factors_wide.weight',
    'blk.0.attn_x.weight',
    'blk.0.attn_q.scale',
    'blk..attn_q.weight',
    'blk.0.attn_q.weight.x',
    'x.blk.0.attn_q.weight',
    'token_embd.bias',
    'blk.0.weight',
  ])('do not include %s', (name) => {
    expect(checkpointName(name, llama)).toBeUndefined();
  });

  it.each([
    'model.layers.0.self_attn.x_proj.weight',
    'model.layers.0.self_attn.q_proj.scale',
    'model.layers.x.self_attn.q_proj.weight',
    'model.layers.0.self_attn.q_proj.weight.x',
    'other.layers.0.self_attn.q_proj.weight',
    'model.layersx0.self_attn.q_proj.weight',
    'model.norm.bias',
    'model.layers.0.weight',
  ])('have no GGUF name for %s', (name) => {
    expect(ggufName(name, llama)).toBeUndefined();
  });
});

describe('a model family', () => {
  it('has the names and storage order of Llama by default', () => {
    const { arch, model_type, layers, partial_rotary, storage } = llamaLikeGguf('qwen2');
    expect({ arch, model_type, layers, partial_rotary }).toEqual({
      arch: 'qwen2',
      model_type: 'qwen2',
      layers: 'model.layers',
      partial_rotary: false,
    });
    expect(storage('model.layers.0.self_attn.q_proj.weight')).toBe('plain');
    const other = llamaLikeGguf('a', { model_type: 'b', partial_rotary: true });
    expect(other).toMatchObject({ arch: 'a', model_type: 'b', partial_rotary: true });
  });

  it('may store queries and keys in interleaved rotary order', () => {
    for (const part of ['q_proj.weight', 'k_proj.weight', 'q_proj.bias']) {
      expect(rotaryStorage(`model.layers.0.self_attn.${part}`)).toBe('rotary');
    }
    for (const part of ['self_attn.v_proj.weight', 'self_attn.q_norm.weight', 'q_proj.weight']) {
      expect(rotaryStorage(`model.layers.0.${part}`)).toBe('plain');
    }
  });

  it('is found by its architecture', () => {
    expect(ggufFamilyOf('llama', 'a.gguf').arch).toBe('llama');
    expect(() => ggufFamilyOf('mamba', 'a.gguf')).toThrow(
      expect.objectContaining({
        area: 'base',
        message: `The architecture "mamba" is not supported in GGUF files. Supported: ${[...GGUF_FAMILIES.keys()].join(', ')}.`,
        place: { file: 'a.gguf', key: 'general.architecture' },
      }),
    );
    for (const [arch, family] of GGUF_FAMILIES) expect(family.arch).toBe(arch);
  });
});
