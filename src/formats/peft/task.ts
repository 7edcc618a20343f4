import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { PROBLEM_TYPES, type ProblemType, type Task } from '../../shared/task';
import { isFile } from '../../common/fileStatus';
import { readJsonObject } from '../json';
import { withSafetensors } from '../safetensors/read';
import { roleOf } from './names';
import { CONFIG_FILE, WEIGHTS_FILE } from './read';

/** PEFT's TaskType; it has none for images. */
export const TASK_TYPES: Readonly<Record<Task, string | null>> = {
  causal_lm: 'CAUSAL_LM',
  seq_cls: 'SEQ_CLS',
  token_cls: 'TOKEN_CLS',
  image_cls: null,
  embedding: 'FEATURE_EXTRACTION',
};

/** What a new head was trained to tell apart. */
export interface HeadLabels {
  readonly problem_type: ProblemType;
  readonly names: readonly string[];
}

/** What an adapter was trained for. */
export interface AdapterTask {
  /** Null where PEFT has no name for it. */
  readonly task: Task | null;
  /** Null where it trains no head. */
  readonly num_labels: number | null;
  /** Null where nothing says what they are called. */
  readonly labels: HeadLabels | null;
  readonly modules_to_save: readonly string[];
}

/**
 * PEFT keeps no names of labels with an adapter: they stand in a file of their own, as transformers
 * writes them into a model's config.
 */
const LABELS_FILE = 'labels.json';
const LabelsSchema = v.object({
  problem_type: v.picklist(PROBLEM_TYPES),
  id2label: v.record(v.string(), v.string()),
});

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
 * Reads what an adapter is for, before its base is opened; only PEFT's and mlx-lm's folders say it.
 * Errors: LoraError('adapter') naming the file.
 */
export async function readAdapterTask(folder: string): Promise<AdapterTask> {
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
  const num_labels = await headRows(path.join(folder, WEIGHTS_FILE));
  return {
    task: task as Task | null,
    num_labels,
    labels: labels?.names.length === num_labels ? labels : null,
    modules_to_save: Array.isArray(modules_to_save) ? modules_to_save.map(String) : [],
  };
}

async function readLabels(file: string): Promise<HeadLabels | null> {
  if (!(await isFile(file))) return null;
  const parsed = v.safeParse(LabelsSchema, await readJsonObject(file, 'adapter'));
  if (!parsed.success)
    throw new LoraError(
      'adapter',
      `The names of the labels cannot be read: ${parsed.issues[0].message}.`,
      { place: { file }, fix: 'Correct the file, or remove it: labels then have numbers.' },
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

/** Rows of the head that was trained with the adapter. */
async function headRows(file: string): Promise<number | null> {
  if (!(await isFile(file))) return null;
  return withSafetensors(file, (source) => {
    const heads = [...source.tensors.values()].filter(({ name }) => {
      const role = roleOf(name);
      return role.role === 'trained' && role.tensor === 'weight' && HEAD.test(role.path);
    });
    return Promise.resolve(heads[0]?.shape[0] ?? null);
  });
}
