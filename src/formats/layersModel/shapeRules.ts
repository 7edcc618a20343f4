/** Sizes of a row, without the batch. */
export type Shape = readonly number[];

type Config = Readonly<Record<string, unknown>>;

/** The shape of a layer's output; entries that are no positive numbers are not known. */
export type ShapeRule = (config: Config, inputs: readonly Shape[]) => Shape | undefined;

const number = (value: unknown): number => (typeof value === 'number' ? value : NaN);

/** A setting with a number for each side, or one for all. */
const sidesOf = (value: unknown, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => number(Array.isArray(value) ? value[i] : value));

const same: ShapeRule = (_, [input]) => input;

/** Sides that a window of `kernel` leaves, moved by `strides`. */
function windowed(config: Config, sides: Shape, kernel: unknown): number[] {
  const kernels = sidesOf(kernel, sides.length);
  const strides = sidesOf(config['strides'] ?? kernel, sides.length);
  const dilations = sidesOf(config['dilation_rate'] ?? 1, sides.length);
  const isValid = config['padding'] !== 'same';
  return sides.map((side, i) => {
    const span = isValid ? (kernels[i]! - 1) * dilations[i]! : 0;
    return Math.ceil((side - span) / strides[i]!);
  });
}

const convolution: ShapeRule = (config, [input = []]) => {
  const { kernel_size, filters, strides = 1 } = config;
  const sides = windowed({ ...config, strides }, input.slice(0, -1), kernel_size);
  return [...sides, number(filters)];
};

const depthwise: ShapeRule = (config, [input = []]) => {
  const { kernel_size, depth_multiplier = 1, strides = 1 } = config;
  const sides = windowed({ ...config, strides }, input.slice(0, -1), kernel_size);
  return [...sides, input.at(-1)! * number(depth_multiplier)];
};

const pooling: ShapeRule = (config, [input = []]) => {
  // null is as if it were missing: windows that touch
  const { pool_size, strides } = config;
  const own = { ...config, strides: strides ?? pool_size };
  return [...windowed(own, input.slice(0, -1), pool_size), input.at(-1)!];
};

/** Sides that grow by the strides, and where nothing is padded by what a kernel exceeds them. */
const transposed: ShapeRule = (config, [input = []]) => {
  const sides = input.slice(0, -1);
  const kernels = sidesOf(config['kernel_size'], sides.length);
  const strides = sidesOf(config['strides'] ?? 1, sides.length);
  const isValid = config['padding'] !== 'same';
  const grown = sides.map(
    (side, i) => side * strides[i]! + (isValid ? Math.max(kernels[i]! - strides[i]!, 0) : 0),
  );
  return [...grown, number(config['filters'])];
};

/** dims count from 1, and leave the batch out. */
const permute: ShapeRule = ({ dims }, [input = []]) =>
  Array.isArray(dims) && dims.length === input.length
    ? dims.map((dim: unknown) => input[number(dim) - 1] ?? NaN)
    : undefined;

const globalPooling: ShapeRule = ({ keepdims }, [input = []]) =>
  keepdims === true ? undefined : input.slice(-1);

const recurrent: ShapeRule = ({ units, return_sequences }, [input = []]) =>
  return_sequences === true ? [input[0]!, number(units)] : [number(units)];

/** [steps, height, width, channels], or with the channels after the steps. */
const recurrentConvolution: ShapeRule = (config, [input = []]) => {
  const [steps = NaN, ...row] = input;
  const isFirst = config['data_format'] === 'channels_first';
  const [channels = NaN, ...sides] = row;
  const output = convolution(config, [isFirst ? [...sides, channels] : row]) ?? [];
  const placed = isFirst ? [output.at(-1)!, ...output.slice(0, -1)] : output;
  return config['return_sequences'] === true ? [steps, ...placed] : placed;
};

const product = (sides: Shape): number => sides.reduce((a, b) => a * b, 1);

const reshape: ShapeRule = ({ target_shape }, [input = []]) => {
  if (!Array.isArray(target_shape)) return undefined;
  // Keras writes -1 for the side that is left, TensorFlow.js null
  const given = target_shape.map((side: unknown) => (side === null ? -1 : number(side)));
  const rest = product(input) / product(given.filter((side) => side !== -1));
  return given.map((side) => (side === -1 ? rest : side));
};

const concatenate: ShapeRule = ({ axis = -1 }, inputs) => {
  const [first = []] = inputs;
  const at = number(axis) < 0 ? first.length + number(axis) : number(axis) - 1;
  const sum = inputs.reduce((total, shape) => total + (shape[at] ?? NaN), 0);
  return first.map((side, i) => (i === at ? sum : side));
};

/** Rows and columns of [[top, bottom], [left, right]], [height, width], or one number. */
function borders(value: unknown): readonly [number, number] {
  const [rows, columns] = (Array.isArray(value) ? value : [value, value]) as readonly unknown[];
  const both = (side: unknown) =>
    Array.isArray(side) ? number(side[0]) + number(side[1]) : 2 * number(side);
  return [both(rows), both(columns)];
}

const zeroPadding: ShapeRule = (
  { padding },
  [[height = NaN, width = NaN, channels = NaN] = []],
) => {
  const [rows, columns] = borders(padding);
  return [height + rows, width + columns, channels];
};

const cropping: ShapeRule = (
  { cropping: cut },
  [[height = NaN, width = NaN, channels = NaN] = []],
) => {
  const [rows, columns] = borders(cut);
  return [height - rows, width - columns, channels];
};

const upSampling: ShapeRule = ({ size }, [input = []]) => {
  const factors = sidesOf(size, input.length - 1);
  return input.map((side, i) => side * (factors[i] ?? 1));
};

const each = (names: readonly string[], rule: ShapeRule) =>
  Object.fromEntries(names.map((name) => [name, rule]));

/** How the classes of layers of TensorFlow.js change shapes, by Keras' definitions. */
export const SHAPE_RULES: Readonly<Record<string, ShapeRule>> = {
  ...each(['InputLayer', 'Activation', 'ReLU', 'LeakyReLU', 'ELU', 'PReLU', 'Softmax'], same),
  ...each(['BatchNormalization', 'LayerNormalization', 'Rescaling', 'Masking'], same),
  ...each(['Dropout', 'SpatialDropout1D', 'GaussianNoise', 'GaussianDropout'], same),
  ...each(['Add', 'Multiply', 'Average', 'Maximum', 'Minimum'], same),
  ...each(['AlphaDropout', 'ThresholdedReLU'], same),
  ...each(['Conv1D', 'Conv2D', 'Conv3D', 'SeparableConv2D'], convolution),
  ...each(['Conv2DTranspose', 'Conv3DTranspose'], transposed),
  ...each(['MaxPooling1D', 'MaxPooling2D', 'MaxPooling3D'], pooling),
  ...each(['AveragePooling1D', 'AveragePooling2D', 'AveragePooling3D'], pooling),
  ...each(['GlobalMaxPooling1D', 'GlobalAveragePooling1D'], globalPooling),
  ...each(['GlobalMaxPooling2D', 'GlobalAveragePooling2D'], globalPooling),
  ...each(['SimpleRNN', 'GRU', 'LSTM'], recurrent),
  Dense: ({ units }, [input = []]) => [...input.slice(0, -1), number(units)],
  DepthwiseConv2D: depthwise,
  Embedding: ({ output_dim }, [input = []]) => [...input, number(output_dim)],
  Flatten: (_, [input = []]) => [product(input)],
  Reshape: reshape,
  RepeatVector: ({ n }, [input = []]) => [number(n), ...input],
  ConvLSTM2D: recurrentConvolution,
  Concatenate: concatenate,
  ZeroPadding2D: zeroPadding,
  Cropping2D: cropping,
  Permute: permute,
  UpSampling2D: upSampling,
};
