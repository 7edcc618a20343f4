import { expect, it } from 'vitest';
import { layersConfig, readLayersConfig } from '../../../../src/engine/layersModel/adapterConfig';
import { PLAIN_LORA } from '../../../../src/lora/newAdapter';

const read = (pixel_range: readonly [number, number] | null) =>
  readLayersConfig(
    {
      config: {
        ...{ ...PLAIN_LORA, target_modules: [], base_model_name_or_path: null },
        raw: layersConfig('image_cls', pixel_range),
      },
    },
    'adapter',
  );

it('has a range of pixels from which inputs can be computed', () => {
  expect(read([0, 255]).pixel_range).toEqual([0, 255]);
  expect(read(null).pixel_range).toBeNull();
  expect(() => read([1, 1])).toThrow(/layers_model|layers model/);
  expect(() => read([0, Infinity])).toThrow(/layers_model|layers model/);
});
