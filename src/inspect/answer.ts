import path from 'node:path';
import { isSingleOutput, modelTaskOf, trainableTasks } from '../shared/task';
import { commonSizes } from '../formats/architecture/commonSizes';
import { imageLengthOf, rowLengthOf } from '../formats/architecture/positions';
import { tasksOf } from '../formats/architecture/readSpec';
import { modelSize } from '../formats/architecture/size';
import { besideTensors, NOTHING_NAMED, trainedBeside } from '../formats/architecture/trainedBeside';
import type { BaseModel } from '../formats/baseModel';
import { checkTopology } from '../formats/layersModel/classes';
import { isLayersModelPath, openLayersModel } from '../formats/layersModel/file';
import {
  fixedInputShape,
  isImageShape,
  manifestKernels,
  moduleOfKernel,
} from '../formats/layersModel/kernels';
import { layersStep } from '../formats/layersModel/step';
import { elementsOf } from '../formats/layersModel/weights';
import { openBase, targetableModules } from '../formats/openBase';
import { adapterFindings } from './adapterFindings';
import { columnsOf } from './columnFacts';
import { datasetAt, findDatasets } from './findDatasets';
import { rowFiles } from './rowFiles';
import {
  isDataQuestion,
  isWriterQuestion,
  type Answer,
  type BaseHeaders,
  type DataQuestion,
  type Question,
  type QuestionKind,
  type RecipeOfBase,
  type WriterQuestion,
} from './questions';
import { valuesOf } from './statistics';
import { openTensorFile, type TensorFile } from './tensorFile';

/**
 * Answers a question by reading the files that it names.
 *
 * @throws LoraError naming file, tensor or key.
 */
export async function answerTo(question: Question): Promise<Answer<QuestionKind>> {
  if (isWriterQuestion(question)) {
    const { answerWriter } = await import('./writer');
    return answerWriter(question);
  }
  if (!isDataQuestion(question)) return answerFile(question);
  // tokenizers and templates are loaded for these alone
  const { answerData } = await import('./dataset/answer');
  return answerData(question);
}

async function answerFile({ kind, asked }: FileQuestion): Promise<Answer<QuestionKind>> {
  switch (kind) {
    case 'tensorFile':
      return withTensorFile(asked.file, ({ facts }) => Promise.resolve(facts));
    case 'values':
      return withTensorFile(asked.file, async (file) => valuesOf(await file.readF32(asked.tensor)));
    case 'findings':
      return adapterFindings(asked.file);
    case 'base':
      return readBaseHeaders(asked.file, asked.recipe);
    case 'commonSizes':
      return commonSizes(asked.machine);
    case 'datasets':
      return findDatasets(asked.folders);
    case 'dataset':
      return datasetAt(asked.file, asked.siblings);
    case 'columns':
      return columnsOf(asked.file);
    case 'rowFiles':
      return rowFiles(asked.file);
    case 'thumbnail': {
      const { thumbnailOf } = await import('../data/images/thumbnail');
      return thumbnailOf(asked.file);
    }
  }
}

type FileQuestion = Exclude<Question, DataQuestion | WriterQuestion>;

async function withTensorFile<T>(file: string, use: (opened: TensorFile) => Promise<T>) {
  const opened = await openTensorFile(file);
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

/** Users know a .gguf file by its name. A blob of Ollama's is called by its hash: `otherwise`. */
function nameOfFile(file: string, otherwise: string): string {
  const name = path.basename(file, '.gguf').replace(/-\d{5}-of-\d{5}$/, '');
  return name.startsWith('sha256-') ? otherwise : name;
}

/**
 * Reads the headers of a base model.
 *
 * @throws LoraError('base') when it cannot be trained.
 */
export async function readBaseHeaders(file: string, recipe?: RecipeOfBase): Promise<BaseHeaders> {
  if (isLayersModelPath(file)) return readLayersHeaders(file);
  const base = await openFor(file, recipe);
  try {
    const image_patches = base.spec.vision && (await patchesAtMost(base));
    const { embedding } = base.spec;
    const settings = recipe ?? NOTHING_NAMED;
    const row_length =
      embedding.kind === 'patches' ? imageLengthOf(embedding) : rowLengthOf(base.spec);
    return {
      path: base.path,
      name: base.format === 'gguf' ? nameOfFile(base.path, base.name) : base.name,
      parameters: base.parameters,
      size: modelSize(
        base,
        besideTensors(base, settings).map(({ name }) => name),
      ),
      ...(image_patches !== undefined && { image_patches }),
      ...(row_length !== null && { row_length }),
      modules: targetableModules(base),
      besides: trainedBeside(base, settings),
      task: base.spec.task,
      tasks: trainableTasks(tasksOf(base.spec.family)),
    };
  } finally {
    await base.close();
  }
}

/**
 * The base with the head that the recipe's task trains: with as many labels as its config says. As
 * it is where it cannot have one, which a training run refuses.
 */
async function openFor(file: string, recipe: RecipeOfBase | undefined): Promise<BaseModel> {
  const base = await openBase(file);
  if (!recipe) return base;
  const { family, task: own } = base.spec;
  const task = modelTaskOf(recipe.task);
  const hasOneOutput = isSingleOutput(recipe.task);
  if ((own === task && !hasOneOutput) || !tasksOf(family).includes(task)) return base;
  const options = { task, ...(hasOneOutput && { num_labels: 1, new_head: true }) };
  const headed = await openBase(file, options).catch(() => null);
  if (headed) await base.close();
  return headed ?? base;
}

async function patchesAtMost(base: BaseModel): Promise<number | undefined> {
  const { mostPatches } = await import('../data/images/chatImages');
  return mostPatches(base);
}

/** @throws LoraError('base') for no layers model, or an input of sizes that vary. */
async function readLayersHeaders(file: string): Promise<BaseHeaders> {
  const model = await openLayersModel(file);
  checkTopology(model);
  const input = fixedInputShape(model);
  const isImage = isImageShape(input);
  const weights = model.groups.flatMap((group) => group.weights);
  return {
    path: model.path,
    name: model.name,
    parameters: weights.reduce((sum, weight) => sum + elementsOf(weight), 0),
    size: null,
    layers: layersStep(model, input),
    modules: manifestKernels(model).map(moduleOfKernel),
    task: isImage ? 'image_cls' : 'features',
    tasks: isImage ? ['image_cls', 'features'] : ['features'],
  };
}
