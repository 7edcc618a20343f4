import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { readJsonObject } from './json';
import { SafetensorsFile } from './safetensors/read';
import type { BaseModel, TensorInfo, TokenizerFiles, WeightSource } from './types';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Opens a Hugging Face model folder: config.json and model.safetensors, whole or in shards. Errors: LoraError('base'). */
export async function openFolderBase(folder: string): Promise<BaseModel> {
  const config = await readJsonObject(path.join(folder, 'config.json'), 'base');
  const files = await openShards(folder);
  const weights = weightsOf(files);
  return {
    path: folder, name: typeof config['_name_or_path'] === 'string' && config['_name_or_path'] ? config['_name_or_path'] : path.basename(folder), format: 'safetensors', config, weights,
    weight_files: files.map((f) => f.file),
    parameters: [...weights.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    readTokenizer: () => readFolderTokenizer(folder),
    close: () => weights.close(),
  };
}

/** Every shard opened and held against the index. */
async function openShards(folder: string): Promise<SafetensorsFile[]> {
  const index = path.join(folder, INDEX);
  const placed = await isFile(index) ? await readIndex(index) : null;
  if (!placed && !await isFile(path.join(folder, SINGLE))) throw await noWeights(folder);
  const names = placed ? [...new Set(placed.values())].sort() : [SINGLE];
  const files: SafetensorsFile[] = [];
  try {
    for (const name of names) files.push(await openShard(folder, name));
    if (placed) checkIndex(placed, new Map(names.map((name, i) => [name, files[i]!])), index);
    return files;
  } catch (error) {
    await Promise.all(files.map((f) => f.close()));
    throw error instanceof LoraError && error.area !== 'base' ? new LoraError('base', error.message, { ...(error.place && { place: error.place }), ...(error.fix && { fix: error.fix }), cause: error }) : error;
  }
}

/** weight_map of the index. A file name outside the folder is refused: a downloaded index must not read other files. */
async function readIndex(index: string): Promise<Map<string, string>> {
  const { weight_map } = await readJsonObject(index, 'base');
  if (typeof weight_map !== 'object' || weight_map === null) throw new LoraError('base', 'The index has no weight_map.', { place: { file: index } });
  return new Map(Object.entries(weight_map).map(([tensor, file]) => {
    if (typeof file !== 'string' || path.basename(file) !== file || file.includes('\\') || file.startsWith('.')) {
      throw new LoraError('base', `The index names the file ${JSON.stringify(file)}, which does not lie in the model's folder.`, { place: { file: index, tensor } });
    }
    return [tensor, file];
  }));
}

async function openShard(folder: string, name: string): Promise<SafetensorsFile> {
  const file = path.join(folder, name);
  if (!await isFile(file)) throw new LoraError('base', 'A part of the model is missing.', { place: { file }, fix: 'Download the model again, all of its files.' });
  return SafetensorsFile.open(file);
}

function checkIndex(placed: ReadonlyMap<string, string>, files: ReadonlyMap<string, SafetensorsFile>, index: string): void {
  for (const [tensor, name] of placed) {
    if (!files.get(name)!.tensors.has(tensor)) throw new LoraError('base', `The index says that the tensor is in ${name}, but it is not there.`, { place: { file: index, tensor }, fix: 'Download the model again, all of its files.' });
  }
}

async function noWeights(folder: string): Promise<LoraError> {
  const names = await readdir(folder).catch(() => []);
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  const sharded = names.find((name) => name.endsWith('.safetensors'));
  const why = pickle ? `its weights are only there as ${pickle}, a pickle, which is not read because it can run code` : sharded ? `it holds ${sharded}, but neither ${SINGLE} nor ${INDEX}` : `it has neither ${SINGLE} nor ${INDEX}`;
  return new LoraError('base', `The folder is not a whole model: ${why}.`, { place: { file: folder }, fix: pickle ? 'Use a version of the model in safetensors.' : 'Download the model again, all of its files.' });
}

function weightsOf(files: readonly SafetensorsFile[]): WeightSource {
  const owner = new Map(files.flatMap((file) => [...file.tensors.keys()].map((name): [string, SafetensorsFile] => [name, file])));
  return {
    tensors: new Map([...owner].map(([name, file]): [string, TensorInfo] => {
      const { dtype, shape } = file.tensors.get(name)!;
      return [name, { name, dtype, shape }];
    })),
    readF32: async (name) => {
      const file = owner.get(name);
      if (!file) throw new LoraError('base', 'The model has no such tensor.', { place: { file: files[0]?.file ?? '', tensor: name } });
      return file.readF32(name);
    },
    close: async () => { await Promise.all(files.map((f) => f.close())); },
  };
}

/** tokenizer.json with its config; the chat template from chat_template.jinja, chat_template.json or the config. */
async function readFolderTokenizer(folder: string): Promise<TokenizerFiles> {
  const source = path.join(folder, 'tokenizer.json');
  if (!await isFile(source)) {
    throw new LoraError('tokenizer', 'The model has no tokenizer.json.', { place: { file: folder }, fix: 'Put the tokenizer.json of the original model into the folder.' });
  }
  const tokenizer = await readJsonObject(source, 'tokenizer');
  const configFile = path.join(folder, 'tokenizer_config.json');
  const config = await isFile(configFile) ? await readJsonObject(configFile, 'tokenizer') : {};
  return { tokenizer, config, chat_template: await readTemplate(folder, config), source };
}

async function readTemplate(folder: string, config: Readonly<Record<string, unknown>>): Promise<string | null> {
  const jinja = path.join(folder, 'chat_template.jinja');
  if (await isFile(jinja)) return readFile(jinja, 'utf8');
  const json = path.join(folder, 'chat_template.json');
  const stored = await isFile(json) ? (await readJsonObject(json, 'tokenizer'))['chat_template'] : config['chat_template'];
  if (typeof stored === 'string') return stored;
  return Array.isArray(stored) ? namedTemplate(stored) : null;
}

/** Some configs hold several templates by name: the one called default. */
function namedTemplate(templates: readonly unknown[]): string | null {
  const found = templates.find((t): t is { name: string; template: string } => typeof t === 'object' && t !== null && 'name' in t && t.name === 'default');
  return found?.template ?? null;
}

const isFile = (file: string) => stat(file).then((s) => s.isFile(), () => false);
