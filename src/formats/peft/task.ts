import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { PROBLEM_TYPES, type ProblemType, type ModelTask } from '../../shared/task';
import { isFile } from '../../common/fileStatus';
import { readJsonObject } from '../json';
import { roleOf } from './names';
import { CONFIG_FILE, peftFolder } from './fileNames';
import { hasWeights, withAdapterWeights } from './files';

/** PEFT's TaskType; null: it has none for models of images. */
export const TASK_TYPES: Readonly<Record<ModelTask, string | null>> = {
  causal_lm: 'CAUSAL_LM',
  seq2seq_lm: 'SEQ_2_SEQ_LM',
  seq_cls: 'SEQ_CLS',
  token_cls: 'TOKEN_CLS',
  image_cls: null,
  embedding: 'FEATURE_EXTRACTION',
  contrastive: null,
};

/** The labels of a classifier. */
export interface HeadLabels {
  readonly problem_type: ProblemType;
  readonly names: readonly string[];
}

/** What an adapter was trained for, as far as its files say. */
export interface AdapterTask {
  /** Null: unknown. */
  readonly task: ModelTask | null;
  /** Null: it has no trained classifier. */
  readonly num_labels: number | null;
  /** Null: unknown. */
  readonly labels: HeadLabels | null;
  readonly modules_to_save: readonly string[];
}

/**
 * PEFT doesn't save the labels' names: this file has them, as in a model's config of transformers.
 */
const LABELS_FILE = 'labels.json';
const LabelsSchema = v.object({
  problem_type: v.picklist(PROBLEM_TYPES),
  id2label: v.record(v.string(), v.string()),
});

/** Writes labels.json. Errors are the file system's. */
export async function writeLabels(
  folder: string,
  { problem_type, names }: HeadLabels,
): Promise<void> {
  const text = JSON.stringify(
    { problem_type, id2label: Object.fromEntries(names.entries()) },
    null,
    2,
  );
  await writeFile(path.join(folder, LABELS_FILE), `${text}\n`, { flush: true });
}

/**
 * Reads what an adapter was trained for, before its base is opened. All is unknown for formats
 * other than PEFT's. `given`: its folder or one of its files.
 *
 * @throws LoraError('adapter') naming the file.
 */
export async function readAdapterTask(given: string): Promise<AdapterTask> {
  const folder = peftFolder(given);
  if (!(await isFile(path.join(folder, CONFIG_FILE))))
    return { task: null, num_labels: null, labels: null, modules_to_save: [] };
  const { task_type, modules_to_save } = await readJsonObject(
    path.join(folder, CONFIG_FILE),
    'adapter',
  );
  const [task] = Object.entries(TASK_TYPES).find(
    ([, type]) => type !== null && type === task_type,
  ) ?? [null];
  const labels = await readLabels(path.join(folder, LABELS_FILE));
  const num_labels = await headRows(folder);
  return {
    task: task as ModelTask | null,
    num_labels,
    labels: labels?.names.length === num_labels ? labels : null,
    modules_to_save: Array.isArray(modules_to_save) ? modules_to_save.map(String) : [],
  };
}

/** What labels.json of a folder says; null: there is none. @throws LoraError('adapter') */
export const readAdapterLabels = (folder: string): Promise<HeadLabels | null> =>
  readLabels(path.join(folder, LABELS_FILE));

async function readLabels(file: string): Promise<HeadLabels | null> {
  if (!(await isFile(file))) return null;
  const parsed = v.safeParse(LabelsSchema, await readJsonObject(file, 'adapter'));
  if (!parsed.success)
    throw new LoraError(
      'adapter',
      `The names of the labels cannot be read: ${v.getDotPath(parsed.issues[0]) ?? 'the file'} ${ruleOf(parsed.issues[0])}.`,
      { place: { file }, fix: 'Correct the file, or remove it: the labels are numbered then.' },
    );
  const { problem_type, id2label } = parsed.output;
  return {
    problem_type,
    names: Object.keys(id2label)
      .sort((a, b) => Number(a) - Number(b))
      .map((id) => id2label[id]!),
  };
}

const HEAD = /(?:^|\.)(?:score|classifier|classifier\.out_proj)$/;

/** The number of labels of the classifier that was trained with the adapter; null: none. */
async function headRows(folder: string): Promise<number | null> {
  if (!(await hasWeights(folder))) return null;
  return withAdapterWeights(folder, ({ tensors }) => {
    const heads = [...tensors.values()].filter(({ name }) => {
      const role = roleOf(name);
      return role.role === 'trained' && role.tensor === 'weight' && HEAD.test(role.path);
    });
    return Promise.resolve(heads[0]?.shape[0] ?? null);
  });
}
