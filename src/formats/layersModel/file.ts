import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { isObject } from '../../shared/values';
import { readJsonObject } from '../json';

/** How the numbers of a stored weight become float32: stored · scale + min; a half as it is. */
const QuantizationSchema = v.object({
  dtype: v.picklist(['uint8', 'uint16', 'float16'], 'must be uint8, uint16 or float16'),
  scale: v.optional(v.pipe(v.number(), v.finite())),
  min: v.optional(v.pipe(v.number(), v.finite())),
});

const MOST_WEIGHTS = 100_000;
const MOST_SHARDS = 10_000;
const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const WeightSchema = v.object({
  name: v.pipe(v.string(), v.minLength(1)),
  shape: v.pipe(v.array(size), v.maxLength(8)),
  dtype: v.picklist(['float32', 'int32', 'bool'], 'must be float32, int32 or bool'),
  quantization: v.optional(QuantizationSchema),
});

const GroupSchema = v.object({
  paths: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(MOST_SHARDS)),
  weights: v.pipe(v.array(WeightSchema), v.maxLength(MOST_WEIGHTS)),
});

const FileSchema = v.looseObject({
  modelTopology: v.looseObject({}, 'must be an object'),
  weightsManifest: v.pipe(v.array(GroupSchema), v.minLength(1), v.maxLength(MOST_SHARDS)),
});

/** A weight of the manifest. */
export type StoredWeight = v.InferOutput<typeof WeightSchema>;

/** Weights that follow one another in some shards. */
export interface WeightGroup {
  /** Absolute paths. */
  readonly shards: readonly string[];
  readonly weights: readonly StoredWeight[];
}

/** A model.json of TensorFlow.js whose texts are checked; its shards have not been read. */
export interface LayersModelFile {
  /** model.json. */
  readonly path: string;
  readonly name: string;
  /** As the file has it: other keys are kept when it is written again. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Keras' description of the model: class_name and config. */
  readonly topology: Readonly<Record<string, unknown>>;
  readonly groups: readonly WeightGroup[];
}

/** Whether a base is given as a layers model: a .json file. */
export const isLayersModelPath = (file: string): boolean => /\.json$/i.test(file);

const AGAIN = 'Save or convert the model again, and name its model.json.';

/**
 * Reads and checks a model.json. Opens no other file.
 *
 * @throws LoraError('base') naming the file and the key.
 */
export async function openLayersModel(file: string): Promise<LayersModelFile> {
  const json = await readJsonObject(file, 'base', { maxBytes: MOST_BYTES });
  refuseGraph(json, file);
  const parsed = v.safeParse(FileSchema, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const key = (issue.path ?? []).map((item) => String(item.key)).join('.');
    const what = issue.input === undefined ? 'is missing' : ruleOf(issue);
    throw new LoraError(
      'base',
      `The file is not a layers model of TensorFlow.js: "${key}" ${what}.`,
      { place: { file, key }, fix: AGAIN },
    );
  }
  const { modelTopology, weightsManifest } = parsed.output;
  const topology = isObject(modelTopology['model_config'])
    ? modelTopology['model_config']
    : modelTopology;
  const groups = weightsManifest.map(({ paths, weights }) => ({
    shards: paths.map((shard) => shardPath(file, shard)),
    weights,
  }));
  refuseRepeated(groups, file);
  return { path: file, name: nameOf(file), json, topology, groups };
}

/** A topology has some kilobytes for each layer. */
const MOST_BYTES = 64 * 2 ** 20;

/** "mobilenet" of /w/mobilenet/model.json. */
const nameOf = (file: string): string => {
  const stem = path.basename(file, path.extname(file));
  return stem === 'model' ? path.basename(path.dirname(path.resolve(file))) : stem;
};

/** @throws LoraError('base') for a graph model, whose operations have no layers. */
function refuseGraph(json: Readonly<Record<string, unknown>>, file: string): void {
  const { format, modelTopology } = json;
  const isGraph =
    format === 'graph-model' || (isObject(modelTopology) && Array.isArray(modelTopology['node']));
  if (!isGraph) return;
  throw new LoraError(
    'base',
    'The file is a graph model of TensorFlow.js, which has operations but no layers to adapt.',
    {
      place: { file, key: 'format' },
      fix: 'Convert the Keras model to the format tfjs_layers_model, or save it with model.save() of TensorFlow.js.',
    },
  );
}

/**
 * The file of a shard. A name that leads out of the folder of model.json, or to another machine, is
 * refused.
 *
 * @throws LoraError('base')
 */
function shardPath(file: string, shard: string): string {
  const folder = path.dirname(path.resolve(file));
  const target = path.resolve(folder, shard);
  const relative = path.relative(folder, target);
  const isInside = relative !== '' && !relative.startsWith('..') && !path.isAbsolute(relative);
  if (isInside && !/^[a-z][a-z0-9+.-]*:/i.test(shard) && !/[\\\0]/.test(shard)) return target;
  throw new LoraError(
    'base',
    `The shard ${JSON.stringify(shard.slice(0, 80))} is not in the folder of the model: only files there are read.`,
    { place: { file, key: 'weightsManifest' }, fix: 'Put the shards beside model.json.' },
  );
}

/** @throws LoraError('base') when two weights have one name. */
function refuseRepeated(groups: readonly WeightGroup[], file: string): void {
  const names = new Set<string>();
  for (const { weights } of groups)
    for (const { name } of weights) {
      if (names.has(name))
        throw new LoraError('base', 'The weight is twice in the manifest.', {
          place: { file, key: 'weightsManifest', tensor: name },
          fix: AGAIN,
        });
      names.add(name);
    }
}

/** Whether a .json file holds a layers model, by its first keys; false where it cannot be read. */
export async function isLayersModelFile(file: string): Promise<boolean> {
  if (!isLayersModelPath(file) || (await stat(file).catch(() => null))?.isFile() !== true)
    return false;
  const json = await readJsonObject(file, 'base', { maxBytes: MOST_BYTES }).catch(() => null);
  return json !== null && 'modelTopology' in json;
}
