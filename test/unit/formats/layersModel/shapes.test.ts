import * as tf from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import { layerCalls } from '../../../../src/formats/layersModel/shapes';

type Shape = readonly number[];
type Layer = InstanceType<typeof tf.layers.Layer>;

/** A layer of tfjs, the same as Keras writes it, and what it reads. */
const LAYERS: readonly (readonly [class_name: string, config: object, own: Layer, input: Shape])[] =
  [
    ...(['valid', 'same'] as const).flatMap((padding) => [
      [
        'Conv3D',
        { filters: 5, kernel_size: [3, 2, 3], strides: [2, 1, 2], padding },
        tf.layers.conv3d({ filters: 5, kernelSize: [3, 2, 3], strides: [2, 1, 2], padding }),
        [7, 8, 9, 2],
      ] as const,
      ...([true, false] as const).flatMap((return_sequences) =>
        (['channelsLast', 'channelsFirst'] as const).map(
          (dataFormat) =>
            [
              'ConvLSTM2D',
              {
                ...{ filters: 5, kernel_size: [3, 2], strides: [2, 1], padding },
                ...{ data_format: dataFormat.replace('F', '_f').replace('L', '_l') },
                return_sequences,
              },
              tf.layers.convLstm2d({
                ...{ filters: 5, kernelSize: [3, 2], strides: [2, 1], padding, dataFormat },
                returnSequences: return_sequences,
              }),
              dataFormat === 'channelsLast' ? [4, 8, 9, 2] : [4, 2, 8, 9],
            ] as const,
        ),
      ),
      [
        'Conv2DTranspose',
        { filters: 5, kernel_size: [4, 3], strides: [2, 3], padding },
        tf.layers.conv2dTranspose({ filters: 5, kernelSize: [4, 3], strides: [2, 3], padding }),
        [6, 7, 2],
      ] as const,
      [
        'Conv3DTranspose',
        { filters: 4, kernel_size: [2, 3, 2], strides: [2, 2, 3], padding },
        tf.layers.conv3dTranspose({
          ...{ filters: 4, kernelSize: [2, 3, 2], strides: [2, 2, 3], padding },
        }),
        [3, 4, 5, 2],
      ] as const,
      [
        'Conv2D',
        {
          ...{ filters: 5, kernel_size: [3, 2], strides: [2, 1], padding },
          data_format: 'channels_first',
        },
        tf.layers.conv2d({
          ...{ filters: 5, kernelSize: [3, 2], strides: [2, 1], padding },
          dataFormat: 'channelsFirst',
        }),
        [3, 9, 7],
      ] as const,
      [
        'MaxPooling3D',
        { pool_size: [2, 2, 3], strides: null, padding },
        tf.layers.maxPooling3d({ poolSize: [2, 2, 3], padding }),
        [5, 6, 7, 2],
      ] as const,
    ]),
    [
      'MaxPooling2D',
      { pool_size: [2, 3], padding: 'valid', data_format: 'channels_first' },
      tf.layers.maxPooling2d({ poolSize: [2, 3], dataFormat: 'channelsFirst' }),
      [3, 8, 9],
    ],
    [
      'GlobalAveragePooling2D',
      { data_format: 'channels_first' },
      tf.layers.globalAveragePooling2d({ dataFormat: 'channelsFirst' }),
      [3, 8, 9],
    ],
    [
      'ZeroPadding2D',
      {
        padding: [
          [1, 2],
          [3, 4],
        ],
        data_format: 'channels_first',
      },
      tf.layers.zeroPadding2d({
        padding: [
          [1, 2],
          [3, 4],
        ],
        dataFormat: 'channelsFirst',
      }),
      [3, 8, 9],
    ],
    [
      'Cropping2D',
      {
        cropping: [
          [1, 2],
          [3, 0],
        ],
      },
      tf.layers.cropping2D({
        cropping: [
          [1, 2],
          [3, 0],
        ],
      }),
      [8, 9, 2],
    ],
    [
      'Cropping2D',
      { cropping: 2, data_format: 'channels_first' },
      tf.layers.cropping2D({ cropping: 2, dataFormat: 'channelsFirst' }),
      [2, 8, 9],
    ],
    ['Permute', { dims: [3, 1, 2] }, tf.layers.permute({ dims: [3, 1, 2] }), [4, 5, 6]],
  ];

it.each(LAYERS)('%s has the shape of TensorFlow.js: %j', (class_name, config, own, input) => {
  const topology = {
    class_name: 'Sequential',
    config: { layers: [{ class_name, config: { name: 'own', ...config } }] },
  };
  const found = layerCalls({ topology }, input);
  expect(found).toMatchObject({
    calls: [{ output: (own.computeOutputShape([null, ...input]) as number[]).slice(1) }],
  });
});

it.each([
  ['more than there is', { cropping: 5 }, 'Cropping2D'],
  ['dimensions that are not there', { dims: [4, 1, 2] }, 'Permute'],
])('%s has no shape', (_, config, class_name) => {
  const layer = { class_name, config: { name: 'own', ...config } };
  const topology = { class_name: 'Sequential', config: { layers: [layer] } };
  expect(layerCalls({ topology }, [8, 9, 2])).toMatchObject({ unknown: { name: 'own' } });
});
