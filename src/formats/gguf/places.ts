import { toBF16 } from '../floats';
import { LoraError } from '../../shared/errors';
import { elementsOf, type TensorInfo } from '../tensorInfo';
import type { WeightSource } from '../weightSource';
import { blocksOfTensor, rowsInTurn } from './blocks';
import type { GgufFamily, GgufStorage } from './family';
import type { GgufTensor } from './header';
import { checkpointName } from './names';
import { PADDING_ROWS, toCheckpointOrder, type HeadLayout } from './order';
import type { GgufSource } from './read';

/** Where the numbers of a checkpoint's tensor are in a GGUF file. */
export interface Place {
  /** One, or several whose rows it has in turn. */
  readonly slices: readonly Slice[];
  /** In the file, for one of the slices. */
  readonly shape: readonly number[];
}

/** Some of a tensor's elements. */
interface Slice {
  readonly tensor: GgufTensor;
  /** The first of them. */
  readonly from: number;
}

/** A matrix or vector of each expert, one after the other, by the name that `parts` give it. */
const OF_EXPERTS = /^(.+\.experts)\.(gate_proj|up_proj|down_proj|gate_up_proj)\.(weight|bias)$/;

/** The name that `parts` give a tensor with the parameters of all experts. */
export const isOfAllExperts = (name: string): boolean => OF_EXPERTS.test(name);

/**
 * The names of the parameters that such a tensor has one after the other: those of the first expert
 * first. Gate and up have names of their own also where a checkpoint has them in turn.
 */
export function expertNames(name: string, count: number): string[] {
  const [, module = '', parameter = '', kind = ''] = OF_EXPERTS.exec(name) ?? [];
  const parts = partsOf(parameter, 'halves');
  return Array.from({ length: count }, (_, expert) =>
    parts.map((part) => `${module}.${expert}.${part}.${kind}`),
  ).flat();
}

export interface PlaceOptions {
  readonly family: GgufFamily;
  /** How many experts each mixture has, and the key that says so. */
  readonly experts: { readonly count: number; readonly key: string };
  /** Whether a tensor belongs to no layer of the model. */
  readonly isExtra: (name: string) => boolean;
}

/**
 * The tensors by their names in the checkpoint. Unknown ones are refused, since they would change
 * the model's output.
 *
 * @throws LoraError('base') naming the tensor.
 */
export function placesIn(source: GgufSource, options: PlaceOptions): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const tensor of source.header.tensors.values())
    for (const [name, place] of placesOf(tensor, source, options)) {
      const known = places.get(name);
      if (known && options.family.experts !== 'in_turn')
        throw new LoraError('base', `The file has ${name} twice.`, {
          place: { file: source.file, tensor: tensor.name },
          fix: 'Download the model again, or use another file of it.',
        });
      places.set(name, known ? inTurn(known, place, source.file) : place);
    }
  return inOrder(places);
}

/** @throws LoraError('base') where the rows cannot be in turn. */
function inTurn(first: Place, second: Place, file: string): Place {
  const { shape, slices } = second;
  if (shape.length === first.shape.length && shape.every((size, i) => size === first.shape[i]))
    return { ...first, slices: [...first.slices, ...slices] };
  throw new LoraError(
    'base',
    `Gate and up of experts have different shapes: [${first.shape.join(', ')}] and [${shape.join(', ')}].`,
    {
      place: { file, tensor: slices[0]!.tensor.name },
      fix: 'Download the model again, or use another file of it.',
    },
  );
}

/** The names of the checkpoint's tensors that a tensor of the file has. */
export const namesOf = (
  tensor: GgufTensor,
  source: GgufSource,
  options: PlaceOptions,
): readonly string[] => placesOf(tensor, source, options).map(([name]) => name);

function placesOf(
  tensor: GgufTensor,
  { file }: GgufSource,
  options: PlaceOptions,
): readonly (readonly [string, Place])[] {
  const { family, isExtra } = options;
  if (isExtra(tensor.name)) return [];
  const name = checkpointName(tensor.name, family);
  if (name === undefined) throw unknownTensor(file, tensor.name);
  if (name === null) return [];
  if (!isOfAllExperts(name)) return [[name, whole(tensor)]];
  checkExperts(tensor, file, options);
  return expertPlaces(tensor, name, family);
}

const whole = (tensor: GgufTensor): Place => ({
  slices: [{ tensor, from: 0 }],
  shape: tensor.shape,
});

export const unknownTensor = (file: string, tensor: string): LoraError =>
  new LoraError('base', 'The model has a tensor that its architecture does not have.', {
    place: { file, tensor },
    fix: 'Use a model of a supported architecture.',
  });

function checkExperts(
  { name, shape }: GgufTensor,
  file: string,
  { experts: { count, key } }: PlaceOptions,
): void {
  const wanted = name.endsWith('.bias') ? 2 : 3;
  const fault = (): string | null => {
    if (shape.length !== wanted)
      return `The tensor has the shape [${shape.join(', ')}], not one of ${wanted} dimensions with the experts as the first one.`;
    if (shape[0] !== count) return `The tensor has ${shape[0]} experts, but ${key} is ${count}.`;
    // without a number of each, there may be any number of experts in a small file
    return shape.includes(0) ? `The tensor of ${count} experts is empty.` : null;
  };
  const found = fault();
  if (found === null) return;
  throw new LoraError('base', found, {
    place: { file, tensor: name },
    fix: 'Download the model again, or use another file of it.',
  });
}

/** Each expert's share, of which gate and up may be one tensor in the file or in the checkpoint. */
function expertPlaces(
  tensor: GgufTensor,
  name: string,
  { experts }: GgufFamily,
): (readonly [string, Place])[] {
  const [, module = '', parameter = '', kind = ''] = OF_EXPERTS.exec(name) ?? [];
  const [count = 0, rows = 0, ...rest] = tensor.shape;
  const parts = partsOf(parameter, experts);
  const shape = [rows / parts.length, ...rest];
  const size = elementsOf(shape);
  return Array.from({ length: count }, (_, expert) =>
    parts.map((part, i): readonly [string, Place] => [
      `${module}.${expert}.${part}.${kind}`,
      { shape, slices: [{ tensor, from: (expert * parts.length + i) * size }] },
    ]),
  ).flat();
}

function partsOf(parameter: string, experts: GgufFamily['experts']): readonly string[] {
  if (parameter === 'gate_up_proj') return ['gate_proj', 'up_proj'];
  const isInTurn = experts === 'in_turn' && parameter !== 'down_proj';
  return [isInTurn ? 'gate_up_proj' : parameter];
}

/** Of gate and up in turn, gate is the first one, whatever the order in the file is. */
function inOrder(places: Map<string, Place>): Map<string, Place> {
  const rank = ({ tensor: { name } }: Slice) => (name.includes('ffn_up') ? 1 : 0);
  return new Map(
    [...places].map(([name, place]) => [
      name,
      { ...place, slices: [...place.slices].sort((a, b) => rank(a) - rank(b)) },
    ]),
  );
}

/** The tensors of a GGUF file as those of the checkpoint that it was converted from. */
export function weightsAt(
  source: GgufSource,
  places: ReadonlyMap<string, Place>,
  { family, heads }: { readonly family: GgufFamily; readonly heads: HeadLayout },
): WeightSource {
  const at = (name: string) => {
    const place = places.get(name);
    if (place) return { ...place, storage: family.storage(name) };
    throw new LoraError('base', 'The tensor is not in the file.', {
      place: { file: source.file, tensor: name },
    });
  };
  const layoutOf = ({ shape }: Place, storage: GgufStorage) => ({
    ...heads,
    shape: checkpointShape(shape, storage),
  });
  const readF32 = async (name: string, target?: Float32Array) => {
    const { storage, ...place } = at(name);
    if (storage === 'plain') return readPlace(source, place, target);
    return toCheckpointOrder(
      await readPlace(source, place),
      storage,
      layoutOf(place, storage),
      target,
    );
  };
  return {
    tensors: new Map([...places].map(([name, own]) => [name, infoOf(name, own, family)])),
    readF32,
    blocksOf: (name) => {
      const { storage, ...place } = at(name);
      const layout = layoutOf(place, storage);
      const width = layout.shape.at(-1) ?? 1;
      const parts = place.slices.map(({ tensor, from }) =>
        blocksOfTensor(source, { tensor, first: from / width, storage, layout }),
      );
      return parts.length === 1 ? (parts[0] ?? null) : rowsInTurn(parts);
    },
    readBF16: async (name, target) => {
      const { storage, slices, shape } = at(name);
      const [first] = slices;
      const isWhole = slices.length === 1 && first!.tensor.shape === shape;
      return storage === 'plain' && isWhole
        ? source.readBF16(first!.tensor, target)
        : toBF16(await readF32(name), target);
    },
    close: () => source.close(),
  };
}

/** The shape in the checkpoint of what has a shape in the file. */
function checkpointShape(shape: readonly number[], storage: GgufStorage): readonly number[] {
  if (storage === 'squeezed' || storage === 'value_channels')
    return [...shape.slice(0, 1), 1, ...shape.slice(1)];
  if (storage === 'after_padding')
    return shape.map((size, axis) => (axis === 0 ? size + PADDING_ROWS : size));
  return storage === 'transposed' ? shape.toReversed() : shape;
}

function infoOf(name: string, { slices, shape }: Place, family: GgufFamily): TensorInfo {
  const [rows = 1, ...rest] = checkpointShape(shape, family.storage(name));
  return {
    name,
    dtype: slices[0]!.tensor.dtype,
    shape: shape.length === 0 ? [] : [rows * slices.length, ...rest],
  };
}

async function readPlace(
  source: GgufSource,
  { slices, shape }: Place,
  target?: Float32Array,
): Promise<Float32Array> {
  const size = elementsOf(shape);
  const [first] = slices;
  if (slices.length === 1 && first!.tensor.shape === shape)
    return source.readF32(first!.tensor, target);
  const result = target ?? new Float32Array(size * slices.length);
  const width = size / (shape[0] ?? 1);
  for (const [turn, { tensor, from }] of slices.entries()) {
    const own = await source.readRange(tensor, from, size);
    for (let row = 0; row * width < size; row++)
      result.set(
        own.subarray(row * width, (row + 1) * width),
        (row * slices.length + turn) * width,
      );
  }
  return result;
}
