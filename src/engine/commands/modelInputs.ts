import { readJsonObject } from '../../formats/json';
import { withSafetensors, type SafetensorsFile } from '../../formats/safetensors/read';
import { imageLengthOf, positionsOf } from '../../formats/architecture/positions';
import type { PatchEmbeddingSpec, SourceSpec, Spec } from '../../formats/architecture/spec';
import { NO_LABEL } from '../../shared/task';
import type { ModelInput } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';

/** The contents of an input file, not yet checked against a model. */
export interface InputFile {
  readonly file: string;
  readonly input_ids: Matrix | null;
  readonly attention_mask: Matrix | null;
  readonly token_type_ids: Matrix | null;
  /** [batch, channels, height, width] */
  readonly pixel_values: { readonly batch: number; readonly data: Float32Array } | null;
  readonly labels: Matrix | null;
}

interface Matrix {
  readonly batch: number;
  readonly length: number;
  readonly data: Int32Array; // [batch, length]
}

/** The inputs of a model, with the labels if there are any. */
export type ModelInputFromFile = ModelInput & { readonly labels: Int32Array | null };

/**
 * Reads token ids, masks and labels from a .json file, and images too from a .safetensors file.
 * @throws LoraError('usage') when the file cannot be read.
 */
export const readInputFile = (file: string): Promise<InputFile> =>
  file.endsWith('.safetensors') ? readSafetensorsInput(file) : readJsonInput(file);

const inputError = (file: string, key: string, message: string, fix?: string): LoraError =>
  new LoraError('usage', message, { place: { file, key }, ...(fix !== undefined && { fix }) });

async function readJsonInput(file: string): Promise<InputFile> {
  const object = await readJsonObject(file, 'usage');
  const source =
    typeof object['inputs'] === 'object' && object['inputs'] !== null
      ? (object['inputs'] as Record<string, unknown>)
      : object;
  const read = (key: string) => {
    const value = source[key];
    return value === undefined ? null : matrixOf(value, key, file);
  };
  return {
    file,
    input_ids: read('input_ids'),
    attention_mask: read('attention_mask'),
    token_type_ids: read('token_type_ids'),
    labels: read('labels'),
    pixel_values: null,
  };
}

/** A list of rows; a single list of numbers is one row. */
function matrixOf(value: unknown, key: string, file: string): Matrix {
  const rows = Array.isArray(value) && !Array.isArray(value[0]) ? [value] : value;
  if (!isMatrix(rows)) {
    throw inputError(file, key, `${key} must be rows of whole numbers, all of the same length.`);
  }
  return { batch: rows.length, length: rows[0]!.length, data: Int32Array.from(rows.flat()) };
}

function isMatrix(rows: unknown): rows is number[][] {
  if (!Array.isArray(rows) || !Array.isArray(rows[0]) || rows[0].length === 0) {
    return false;
  }
  const { length } = rows[0];
  return rows.every(
    (row) => Array.isArray(row) && row.length === length && row.every(Number.isInteger),
  );
}

const readSafetensorsInput = (file: string): Promise<InputFile> =>
  withSafetensors(
    file,
    async (source) => ({
      file,
      input_ids: await readMatrix(source, 'input_ids'),
      attention_mask: await readMatrix(source, 'attention_mask'),
      token_type_ids: await readMatrix(source, 'token_type_ids'),
      labels: await readMatrix(source, 'labels'),
      pixel_values: await readImages(source),
    }),
    'usage',
  );

const tensorName = (source: SafetensorsFile, key: string): string | undefined =>
  [key, `inputs.${key}`].find((name) => source.tensors.has(name));

async function readMatrix(source: SafetensorsFile, key: string): Promise<Matrix | null> {
  const name = tensorName(source, key);
  if (name === undefined) {
    return null;
  }
  const { shape } = source.tensors.get(name)!;
  const [batch, length] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  return { batch, length, data: await source.readInts(name) };
}

async function readImages(source: SafetensorsFile): Promise<InputFile['pixel_values']> {
  const name = tensorName(source, 'pixel_values');
  if (name === undefined) {
    return null;
  }
  return { batch: source.tensors.get(name)!.shape[0]!, data: await source.readF32(name) };
}

/**
 * The inputs of a model of this architecture.
 * @throws LoraError('usage') when something is missing or has another shape.
 */
export function modelInputs(input: InputFile, spec: Spec): ModelInputFromFile {
  if (spec.source) return answerInputs(input, spec, spec.source);
  const { token_type_ids, labels, attention_mask } = input;
  const content =
    spec.embedding.kind === 'patches' ? imagesOf(input, spec.embedding) : tokensOf(input, spec);
  const { batch, length, pixel_values } = content;
  checkShape(input, 'attention_mask', content);
  checkShape(input, 'token_type_ids', content);
  checkLabels(input, spec, content);
  refuseMeaninglessRows(input, spec);
  return {
    batch,
    length,
    input_ids: content.input_ids,
    attention_mask: attention_mask?.data ?? new Int32Array(batch * length).fill(1),
    labels: labels?.data ?? null,
    ...(token_type_ids && { token_type_ids: token_type_ids.data }),
    ...(pixel_values && { pixel_values }),
    ...comparedImages(input, spec),
  };
}

/**
 * @throws LoraError('usage') for rows that begin with padding, where a head reads the first token
 * of a model with distance embeddings (DeBERTa): its padded tokens are no queries.
 */
function refuseMeaninglessRows({ attention_mask, file }: InputFile, { head, layers }: Spec): void {
  const readsFirst = head.kind === 'labels' && head.pool === 'first';
  if (!attention_mask || !readsFirst || !layers[0]?.attention.distances) return;
  const { batch, length, data } = attention_mask;
  const row = Array.from({ length: batch }, (_, i) => data[i * length]).indexOf(0);
  if (row === -1) return;
  throw inputError(
    file,
    'attention_mask',
    `Row ${row} of attention_mask begins with padding, but the classifier of this model reads the first token: pad rows on the right.`,
  );
}

/**
 * The inputs of an encoder-decoder. The decoder reads the labels after the token that it starts
 * with; where they are -100, the padding, as in transformers. What follows the last is not read.
 */
function answerInputs(input: InputFile, spec: Spec, { start_id }: SourceSpec): ModelInputFromFile {
  const { labels, attention_mask, file } = input;
  const source = tokensOf(input, spec);
  checkShape(input, 'attention_mask', source);
  if (labels?.batch !== source.batch)
    throw inputError(file, 'labels', 'An encoder-decoder needs labels for each row of input_ids.');
  const { batch, length, data } = labels;
  const outside = data.find((id) => id !== NO_LABEL && (id < 0 || id >= spec.vocab_size));
  if (outside !== undefined)
    throw inputError(file, 'labels', `labels contains ${outside}, which is not a token.`);
  if (data.every((id) => id === NO_LABEL))
    throw inputError(file, 'labels', 'No token is labelled: every label is -100.');
  const shape = { batch, length: length + 1 };
  const behind = (first: number, padding: number) =>
    Int32Array.from({ length: batch * shape.length }, (_, i) => {
      const [row, at] = [Math.floor(i / shape.length), i % shape.length];
      const label = at === 0 ? first : data[row * length + at - 1]!;
      return label === NO_LABEL ? padding : label;
    });
  return {
    ...shape,
    input_ids: behind(start_id, start_id),
    attention_mask: new Int32Array(batch * shape.length).fill(1),
    labels: behind(NO_LABEL, NO_LABEL),
    source: {
      batch: source.batch,
      length: source.length,
      input_ids: source.input_ids,
      attention_mask: attention_mask?.data ?? new Int32Array(source.batch * source.length).fill(1),
    },
  };
}

/** The images of a model that compares them with texts. */
function comparedImages(input: InputFile, { head }: Spec): Pick<ModelInputFromFile, 'images'> {
  if (head.kind !== 'contrastive' || head.images.embedding.kind !== 'patches') return {};
  const { batch, length, pixel_values } = imagesOf(input, head.images.embedding);
  if (input.labels && batch !== input.input_ids?.batch)
    throw inputError(input.file, 'pixel_values', 'For a loss, each text needs an image.');
  return { images: { batch, length, pixel_values } };
}

interface ImageContent extends Content {
  readonly pixel_values: Float32Array;
}

interface Content {
  readonly batch: number;
  readonly length: number;
  readonly input_ids: Int32Array;
  readonly pixel_values: Float32Array | null;
}

function tokensOf({ input_ids, file }: InputFile, spec: Spec): Content {
  const key = 'input_ids';
  if (!input_ids) {
    throw inputError(file, key, 'input_ids is missing.');
  }
  const { batch, length, data } = input_ids;
  const { vocab_size } = spec;
  const invalid = data.find((id) => id < 0 || id >= vocab_size);
  if (invalid !== undefined) {
    throw inputError(
      file,
      key,
      `input_ids contains ${invalid}, but the model's token ids end at ${vocab_size - 1}.`,
    );
  }
  const positions = positionsOf(spec);
  if (length > positions) {
    throw inputError(
      file,
      key,
      `A row has ${countOf(length, 'token')}, but the model has only ${countOf(positions, 'position')}.`,
    );
  }
  return { batch, length, input_ids: data, pixel_values: null };
}

function imagesOf({ pixel_values, file }: InputFile, embedding: PatchEmbeddingSpec): ImageContent {
  const { channels, image_size } = embedding;
  const [height, width] = image_size;
  const key = 'pixel_values';
  if (!pixel_values) {
    throw inputError(
      file,
      key,
      'pixel_values is missing: the model reads images.',
      'Put the images into a .safetensors file.',
    );
  }
  const { batch, data } = pixel_values;
  if (data.length !== batch * channels * height * width) {
    throw inputError(
      file,
      key,
      `pixel_values must have the shape [batch, ${channels}, ${height}, ${width}].`,
    );
  }
  return {
    batch,
    length: imageLengthOf(embedding),
    input_ids: new Int32Array(0),
    pixel_values: data,
  };
}

function checkShape(
  input: InputFile,
  key: 'attention_mask' | 'token_type_ids',
  { batch, length }: Content,
): void {
  const matrix = input[key];
  if (matrix && matrix.data.length !== batch * length) {
    throw inputError(input.file, key, `${key} must have the shape of input_ids.`);
  }
}

function checkLabels(
  { labels, file }: InputFile,
  { head }: Spec,
  { batch, length }: Content,
): void {
  if (!labels) {
    return;
  }
  const isPerRow = head.kind === 'labels' && head.pool !== 'none';
  const expected = isPerRow ? batch : batch * length;
  if (labels.data.length !== expected) {
    throw inputError(
      file,
      'labels',
      isPerRow
        ? `labels must contain one number per row, ${batch} in all.`
        : 'labels must have the shape of input_ids.',
    );
  }
  // A language model predicts no token at the first position of a row.
  const hasLoss = (label: number, i: number) =>
    label !== NO_LABEL && (head.kind !== 'lm' || i % length > 0);
  if (!labels.data.some(hasLoss)) {
    throw inputError(
      file,
      'labels',
      'No token is labelled, so there is no loss: every label is -100.',
      "Leave out the labels, or label a token other than a row's first.",
    );
  }
}
