import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAdapterTask, TASK_TYPES, writeLabels } from '../../../../src/formats/peft/task';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import { temp } from '../../../support/temp';

/** An adapter's folder with a config and with tensors of these names, of 3 rows. */
async function folderOf(config: object, names: readonly string[] = []): Promise<string> {
  const folder = temp();
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
  await writeSafetensors(
    path.join(folder, 'adapter_model.safetensors'),
    names.map((name) => ({ name, dtype: 'F32', shape: [3, 1], data: new Float32Array(3) })),
  );
  return folder;
}

const HEAD = 'base_model.model.score.modules_to_save.weight';
const LABELS = { problem_type: 'single_label_classification', names: ['a', 'b', 'c'] } as const;

describe('what an adapter was trained for', () => {
  it.each([
    ['CAUSAL_LM', 'causal_lm'],
    ['SEQ_CLS', 'seq_cls'],
    ['TOKEN_CLS', 'token_cls'],
    ['FEATURE_EXTRACTION', 'embedding'],
    ['SEQ_2_SEQ_LM', 'seq2seq_lm'],
    ['QUESTION_ANS', null],
    [null, null],
  ])("with PEFT's task type %s is %s", async (task_type, task) => {
    expect((await readAdapterTask(await folderOf({ task_type }))).task).toBe(task);
    if (task !== null) expect(TASK_TYPES).toHaveProperty(task, task_type);
  });

  it('is unknown without files of PEFT', async () => {
    expect(await readAdapterTask(temp())).toEqual({
      task: null,
      num_labels: null,
      labels: null,
      modules_to_save: [],
    });
    const folder = temp();
    writeFileSync(path.join(folder, 'adapter_config.json'), '{"modules_to_save": ["score", 1]}');
    expect(await readAdapterTask(folder)).toEqual({
      task: null,
      num_labels: null,
      labels: null,
      modules_to_save: ['score', '1'],
    });
    writeFileSync(path.join(folder, 'adapter_config.json'), '{"modules_to_save": "score"}');
    expect((await readAdapterTask(folder)).modules_to_save).toEqual([]);
  });

  it.each([
    [HEAD, 3],
    ['base_model.model.classifier.weight', 3],
    ['base_model.model.classifier.out_proj.modules_to_save.default.weight', 3],
    ['base_model.model.vit.classifier.weight', 3],
    ['base_model.model.score.bias', null],
    ['base_model.model.underscore.weight', null],
    ['base_model.model.classifier.dense.weight', null],
    ['base_model.model.score.original_module.weight', null],
    ['base_model.model.score.lora_A.weight', null],
  ])('has the labels of the classifier: %s, %s', async (name, num_labels) => {
    const folder = await folderOf({}, ['base_model.model.a.weight', name]);
    expect((await readAdapterTask(folder)).num_labels).toBe(num_labels);
  });

  it('has the names of its labels in their order, when they fit the classifier', async () => {
    const folder = await folderOf({}, [HEAD]);
    await writeLabels(folder, LABELS);
    expect(readFileSync(path.join(folder, 'labels.json'), 'utf8')).toBe(
      '{\n  "problem_type": "single_label_classification",\n  "id2label": {\n    "0": "a",\n    "1": "b",\n    "2": "c"\n  }\n}\n',
    );
    expect((await readAdapterTask(folder)).labels).toEqual(LABELS);
    const written = (id2label: object) =>
      writeFileSync(
        path.join(folder, 'labels.json'),
        JSON.stringify({ problem_type: LABELS.problem_type, id2label }),
      );
    written({ '-1': 'c', '-3': 'a', '-2': 'b' });
    expect((await readAdapterTask(folder)).labels).toEqual(LABELS);
    written({ 0: 'a', 1: 'b' });
    expect(await readAdapterTask(folder)).toMatchObject({ num_labels: 3, labels: null });
  });

  it('is refused when the names of its labels cannot be read', async () => {
    const folder = await folderOf({}, [HEAD]);
    const file = path.join(folder, 'labels.json');
    writeFileSync(file, '{"problem_type": "single_label_classification"}');
    await expect(readAdapterTask(folder)).rejects.toMatchObject({
      area: 'adapter',
      message: expect.stringMatching(
        /^The names of the labels cannot be read: .*id2label.*\.$/,
      ) as string,
      fix: 'Correct the file, or remove it: the labels are numbered then.',
      place: { file },
    });
  });
});
