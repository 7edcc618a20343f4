import path from 'node:path';
import { expect, it } from 'vitest';
import { quantizedWhileLoading } from '../../../../src/formats/quantized/whileLoading';
import { fixtures, withBase } from '../../../support/models';

/** What transformers converts for bitsandbytes, but for heads; numbers of layers as *. */
it.each([
  [
    'gemma4-moe',
    [
      'model.layers.*.self_attn.q_proj',
      'model.layers.*.self_attn.k_proj',
      'model.layers.*.self_attn.v_proj',
      'model.layers.*.self_attn.o_proj',
      'model.layers.*.mlp.gate_proj',
      'model.layers.*.mlp.up_proj',
      'model.layers.*.mlp.down_proj',
      'model.layers.*.router.proj',
    ],
  ],
  [
    'gemma4',
    [
      'model.per_layer_model_projection',
      'model.layers.*.self_attn.q_proj',
      'model.layers.*.self_attn.k_proj',
      'model.layers.*.self_attn.o_proj',
      'model.layers.*.mlp.gate_proj',
      'model.layers.*.mlp.up_proj',
      'model.layers.*.mlp.down_proj',
      'model.layers.*.per_layer_input_gate',
      'model.layers.*.per_layer_projection',
      'model.layers.*.self_attn.v_proj',
    ],
  ],
  [
    'clip',
    ['text_model', 'vision_model'].flatMap((tower) =>
      ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.out_proj']
        .concat('mlp.fc1', 'mlp.fc2')
        .map((own) => `${tower}.encoder.layers.*.${own}`),
    ),
  ],
  [
    'qwen3_moe',
    ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((own) => `model.layers.*.self_attn.${own}`),
  ],
])('the linear layers of %s are quantized, in all towers', async (name, expected) => {
  const names = await withBase(path.join(fixtures, name, 'base'), ({ weights, spec, path: file }) =>
    Promise.resolve(
      quantizedWhileLoading(weights, spec, { kind: 'nf4', modules_to_save: null }, file).keys(),
    ),
  );
  const found = [...names].map((own) => own.replace(/\.\d+\./, '.*.').replace(/\.weight$/, ''));
  expect([...new Set(found)].sort()).toEqual([...expected].sort());
});

it('the projection of narrow embeddings is quantized, too', async () => {
  const names = await withBase(path.join(fixtures, 'electra/base'), ({ weights, spec }) =>
    Promise.resolve(
      quantizedWhileLoading(weights, spec, { kind: 'int8', modules_to_save: null }, '').keys(),
    ),
  );
  expect([...names][0]).toMatch(/embeddings_project\.weight$/);
});
