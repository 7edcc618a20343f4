import { describe, expect, it } from 'vitest';
import { conversionLosses } from '../../../../src/formats/conversionLosses';
import { tensorsIn } from '../../../support/conversions';
import { fileOf, kohya, read, throughPeft } from '../../../support/loraFiles';

describe("a dora_scale in a file with kohya's names", () => {
  it.each([
    ['a linear layer', [3], [], [4, 1]],
    ['a convolution', [3, 3, 3], [1, 1], [4, 1, 1, 1]],
  ])("has DoRA's magnitudes by output: %s", async (_, inner, up, scale) => {
    const file = await fileOf({
      ...kohya('lora_unet_x', inner, up),
      'lora_unet_x.dora_scale': scale,
    });
    const adapter = await read(file);
    const stored = (await tensorsIn(file)).get('lora_unet_x.dora_scale');
    expect(adapter.config.use_dora).toBe(true);
    expect(adapter.modules.map((m) => m.magnitude)).toEqual([stored?.data]);
    expect((await throughPeft(adapter)).modules).toEqual(adapter.modules);
    expect(conversionLosses(adapter, null, 'kohya')).toEqual([
      "kohya's scripts do not support DoRA",
    ]);
  });

  it.each([[[1, 3]], [[1, 4]], [[4]], [[4, 3]], [[2, 2]]])(
    'is refused with a dora_scale of the shape %j',
    async (shape) => {
      const file = await fileOf({ ...kohya('lora_unet_x'), 'lora_unet_x.dora_scale': shape });
      await expect(read(file)).rejects.toThrow(
        `The file holds DoRA whose dora_scale has the shape [${shape.join(', ')}], which is not supported: only a magnitude for each of the 4 outputs is.`,
      );
    },
  );
});
