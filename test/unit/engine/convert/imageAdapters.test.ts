import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertAdapterFile } from '../../../../src/engine/convert/convertAdapterFile';
import type { AdapterFormat } from '../../../../src/formats/adapterFormat';
import { imageAdapter, productsIn, reckoned, worstGap } from '../../../support/imageAdapters';
import { tensorsIn } from '../../../support/conversions';
import { fileOf, type Shapes } from '../../../support/loraFiles';
import { temp } from '../../../support/temp';

/** Rounding of factors to float32 before their product. */
const ROUNDING = 1e-6;

async function convert(adapter: string, to: AdapterFormat) {
  const output = path.join(temp(), to === 'peft' ? 'adapter' : 'adapter.safetensors');
  const converted = await convertAdapterFile({
    ...{ adapter, to, output, base: null, partial: false, dtype: 'keep', merge: false },
    warn: () => undefined,
  });
  const file = to === 'peft' ? path.join(output, 'adapter_model.safetensors') : output;
  return { output, file, converted };
}

const FORMS = ['lora', 'tucker', 'loha', 'lokr'];
const TARGETS = ['diffusers', 'ai-toolkit', 'kohya'] as const;

describe.each(['sd', 'flux'])('an adapter of %s', (model) => {
  it.each(FORMS.flatMap((form) => TARGETS.map((to) => [form, to] as const)))(
    'as %s has the updates of NumPy for %s',
    async (form, to) => {
      const name = `${model}-${form}`;
      // kohya's file of this program is converted by way of another
      const there = to === 'kohya' ? (await convert(imageAdapter(name), 'peft')).output : null;
      const { file } = await convert(there ?? imageAdapter(name), to);
      expect(worstGap(await productsIn(file), await reckoned(name))).toBeLessThan(ROUNDING);
    },
  );

  it.each(['lora', 'loha', 'lokr'])(
    'of DoRA keeps its magnitudes for Diffusers alone: %s',
    async (form) => {
      const name = `${model}-${form}-dora`;
      const { file } = await convert(imageAdapter(name), 'diffusers');
      expect(worstGap(await productsIn(file), await reckoned(name))).toBeLessThan(ROUNDING);
      const magnitudes = new Map(
        [...(await tensorsIn(file))].flatMap(([own, { data }]) =>
          own.endsWith('.lora_magnitude_vector')
            ? [[own.replace('.lora_magnitude_vector', ''), data] as const]
            : [],
        ),
      );
      expect(magnitudes).toEqual(await reckoned(`magnitude/${name}`));
      for (const to of ['kohya', 'ai-toolkit'] as const) {
        const { output } = await convert(imageAdapter(name), 'peft');
        expect((await convert(output, to)).converted).toMatchObject({
          lost: [expect.stringMatching(/not support DoRA/)],
        });
      }
    },
  );

  it('with a whole factor of LoKr is refused by name', async () => {
    await expect(convert(imageAdapter(`${model}-lokr-dense`), 'diffusers')).rejects.toThrow(
      /is LoKr, which LoRA holds at a rank above the full one only/,
    );
  });
});

describe('the kernels of convolutions', () => {
  it.each(['loha', 'lokr'])('are those that programs expect: %s', async (form) => {
    const { file } = await convert(imageAdapter(`sd-${form}`), 'diffusers');
    const kernels = new Map<string, readonly number[]>();
    for (const [name, { shape }] of await tensorsIn(file))
      if (name.endsWith('lora_A.weight')) kernels.set(name.split('.').at(-3)!, shape.slice(2));
    expect(Object.fromEntries(kernels)).toEqual({
      ...{ conv: [3, 3], conv1: [3, 3], conv2: [3, 3] },
      ...{ conv_shortcut: [1, 1], proj_in: [1, 1] },
      ...{ proj: [], to_k: [], to_q: [] },
    });
  });
});

describe("an adapter of XLabs' trainer", () => {
  it.each(TARGETS)('has the updates of NumPy for %s', async (to) => {
    const { file } = await convert(imageAdapter('flux-xlabs'), to);
    const zero = 'transformer.single_transformer_blocks.0.proj_mlp';
    const have = await productsIn(file);
    if (to === 'kohya') {
      expect(have.get(zero)!.every((x) => x === 0)).toBe(true);
      have.delete(zero);
    }
    expect(worstGap(have, await reckoned('flux-xlabs'))).toBeLessThan(ROUNDING);
  });
});

describe('a tensor of another method', () => {
  const linear = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
  const other = linear.replace('to_q', 'to_k');
  const pair: Shapes = {
    [`${linear}.lora_down.weight`]: [2, 8],
    [`${linear}.lora_up.weight`]: [8, 2],
  };

  it.each<[string, string]>([
    ['bundle_emb.style.string_to_param.*', 'a trained embedding of a text'],
    ['bundle_emb.style.clip_l', 'a trained embedding of a text'],
    ['clip_l', 'a trained embedding of a text'],
    ['emb_params', 'a trained embedding of a text'],
    [`${other}.rescale`, 'OFT'],
    [`${other}.oft_blocks`, 'OFT'],
    [`${other}.diff`, 'whole differences'],
    [`${other}.on_input`, '(IA)³'],
    [`${other}.b1.weight`, 'GLoRA'],
    ['lora_unet_conv_norm_out.w_norm', 'changes of norms'],
    ['lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight', 'a ControlNet'],
    [`${linear}.lora_route.weight`, 'several adapters with a router'],
  ])('is refused by name, beside LoRA and alone: %s', async (tensor, method) => {
    for (const shapes of [{ ...pair, [tensor]: [4, 2] }, { [tensor]: [4, 2] }])
      await expect(convert(await fileOf(shapes), 'diffusers')).rejects.toMatchObject({
        message: `The file holds ${method}, which is not supported.`,
        place: { tensor },
      });
  });

  it.each([
    `${linear}.lora_up1.weight`,
    `${linear}.factor`,
    `${other}.weight`,
    'double_blocks.0.img_attn.norm.key_norm.scale',
  ])('that is not known is refused, not left out: %s', async (tensor) => {
    const file = await fileOf({ ...pair, [tensor]: [4, 2] });
    await expect(convert(file, 'diffusers')).rejects.toMatchObject({
      message: 'The tensor is not part of a LoRA adapter.',
      place: { tensor },
    });
  });

  it.each(['lokr_w1_a', 'lokr_w2_b', 'lokr_t2'])(
    'is refused beside the whole factor that it makes: %s',
    async (part) => {
      const own = [`${other}.lokr_w1`, `${other}.lokr_w2`, `${other}.${part}`];
      const file = await fileOf(Object.fromEntries(own.map((name) => [name, [2, 2]])));
      await expect(convert(file, 'diffusers')).rejects.toThrow(
        new RegExp(`has both lokr_w\\d and ${part}`),
      );
    },
  );
});
