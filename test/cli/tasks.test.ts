import { firstPathOf } from '../../src/shared/datasetSources';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvalLine, SampleLine } from '../../src/shared/metrics/lines';
import type { ScoreName } from '../../src/shared/metrics/table';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { Task } from '../../src/shared/task';
import { captionedRows, colourFolder, COLOURS } from '../support/colourImages';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
  type RecipeChange,
} from '../support/commandLine';

interface Case extends RecipeChange {
  readonly task: Task;
  readonly base: string;
  readonly rows: readonly object[];
  readonly scores: readonly ScoreName[];
  /** Of the head in the adapter's file; none where the task trains no head. */
  readonly head: Readonly<Record<string, readonly number[]>>;
  readonly task_type: string | null;
}

const words = (n: number, of: (colour: string, i: number) => object) =>
  Array.from({ length: n }, (_, i) => of(COLOURS[i % 3]!, i));
const text = (colour: string, i: number) => `the ${colour} ${['car', 'hat', 'cup', 'key'][i % 4]!}`;
const classifier = (labels: number, path = 'classifier') => ({
  [`base_model.model.${path}.weight`]: [labels, 48],
  [`base_model.model.${path}.bias`]: [labels],
});

const CASES: Readonly<Record<string, Case>> = {
  'classes of texts by bert': {
    task: 'seq_cls',
    base: 'bert',
    rows: words(24, (c, i) => ({ text: text(c, i), label: c })),
    scores: ['accuracy', 'f1'],
    head: classifier(3),
    task_type: 'SEQ_CLS',
  },
  'classes of two texts by bert': {
    task: 'seq_cls',
    base: 'bert',
    rows: words(24, (c, i) => ({
      sentence1: text(c, i),
      sentence2: text(i % 2 ? c : 'pink', i),
      label: i % 2,
    })),
    scores: ['accuracy', 'f1'],
    head: classifier(2),
    task_type: 'SEQ_CLS',
  },
  'several labels of a text by bert': {
    task: 'seq_cls',
    base: 'bert',
    rows: words(24, (c, i) => {
      const parity = i % 2 === 0 ? ['even'] : [];
      return { text: text(c, i), labels: i % 4 === 0 ? [] : [c, ...parity] };
    }),
    scores: ['accuracy', 'f1'],
    head: classifier(4),
    task_type: 'SEQ_CLS',
  },
  'a number for a text by bert': {
    task: 'seq_cls',
    base: 'bert',
    rows: words(24, (c, i) => ({ text: text(c, i), label: COLOURS.indexOf(c) - 0.5 })),
    scores: ['rmse', 'pearson'],
    head: classifier(1),
    task_type: 'SEQ_CLS',
  },
  'classes of texts by a language model': {
    task: 'seq_cls',
    base: 'llama',
    rows: words(24, (c, i) => ({ text: text(c, i), label: c })),
    scores: ['accuracy', 'f1'],
    head: { 'base_model.model.score.weight': [3, 48] },
    task_type: 'SEQ_CLS',
  },
  'tags of words by bert': {
    task: 'token_cls',
    base: 'bert',
    rows: words(24, (c, i) => ({
      tokens: ['see', 'the', c, `thing${i}`],
      tags: ['O', 'O', 'B-COL', 'I-COL'],
    })),
    scores: ['accuracy', 'f1'],
    head: classifier(3),
    task_type: 'TOKEN_CLS',
  },
  'texts that belong together by bert': {
    task: 'embedding',
    base: 'bert',
    rows: words(24, (c, i) => ({ anchor: `${c} ${i}`, positive: `is ${c} ${i}` })),
    scores: ['cosine', 'retrieval', 'ndcg_at_10', 'mrr_at_10', 'recall_at_10'],
    head: {},
    task_type: 'FEATURE_EXTRACTION',
  },
  'documents for a query by bert': {
    task: 'reranker',
    base: 'bert',
    rows: words(24, (c, i) => ({ query: c, document: text(i % 2 ? c : 'pink', i), score: i % 2 })),
    scores: ['pearson', 'spearman', 'ndcg_at_10', 'mrr_at_10', 'recall_at_10'],
    head: classifier(1),
    task_type: 'SEQ_CLS',
  },
  'lists of documents by a language model': {
    task: 'reranker',
    base: 'llama',
    rows: words(24, (c, i) => ({
      query: c,
      documents: [text(c, i), text('pink', i)],
      scores: [1, 0],
    })),
    scores: ['ndcg_at_10', 'mrr_at_10', 'recall_at_10'],
    head: { 'base_model.model.score.weight': [1, 48] },
    task_type: 'SEQ_CLS',
  },
  'classes of images by vit': {
    task: 'image_cls',
    base: 'vit',
    rows: [],
    scores: ['accuracy', 'f1'],
    head: {
      'base_model.model.classifier.weight': [3, 48],
      'base_model.model.classifier.bias': [3],
    },
    task_type: null,
  },
  'classes of images by dinov2, with gate and up in one tensor': {
    task: 'image_cls',
    base: 'dinov2-swiglu',
    rows: [],
    scores: ['accuracy', 'f1'],
    head: {
      'base_model.model.classifier.weight': [3, 64],
      'base_model.model.classifier.bias': [3],
    },
    task_type: null,
  },
  'images with texts by clip': {
    task: 'contrastive',
    base: 'clip',
    rows: [],
    scores: ['accuracy', 'retrieval', 'mrr_at_10', 'recall_at_10'],
    head: {},
    task_type: null,
  },
  'images with the names of their classes by siglip': {
    task: 'contrastive',
    base: 'siglip',
    rows: [],
    scores: ['accuracy', 'retrieval', 'mrr_at_10', 'recall_at_10'],
    head: {},
    task_type: null,
  },
};

/** Images, with texts or with their classes; null: the rows of the case. */
function datasetOf(task: Task, base: string): string | null {
  if (task === 'contrastive' && base === 'clip') return captionedRows();
  return task === 'image_cls' || task === 'contrastive'
    ? colourFolder(path.join(tempFolder(), 'colours'))
    : null;
}

function recipeOf({ task, base, rows, lora, training }: Case): string {
  const dataset = datasetOf(task, base);
  return makeRecipe(
    {
      top: {
        task,
        base: path.join(fixtures, base, 'base'),
        validation_split: 0.25,
        samples: { sample_steps: 10 },
        ...(dataset !== null && { dataset }),
      },
      lora: { r: 4, ...lora },
      training: {
        max_steps: 20,
        per_device_train_batch_size: 6,
        learning_rate: 1e-2,
        eval_steps: 10,
        save_steps: 10,
        ...training,
      },
    },
    rows,
  );
}

/** What modules_to_save lists for the head of a task. */
function savedHeads(task: Task): readonly string[] | null {
  switch (task) {
    case 'causal_lm':
    case 'seq2seq_lm':
    case 'embedding':
    case 'features':
    case 'contrastive':
      return null;
    case 'image_cls':
      return ['classifier'];
    case 'seq_cls':
    case 'token_cls':
    case 'reward':
    case 'reranker':
      return ['classifier', 'score'];
  }
}

describe.each(Object.entries(CASES))('%s', (_, own) => {
  it('trains, is evaluated, is saved with its head, is loaded again, and resumes to the same bytes', async () => {
    const runDir = await train(recipeOf(own));
    const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
    expect(evals.map((line) => line.step)).toEqual([0, 10, 20]);
    expect(Math.min(evals[1]!.loss, evals[2]!.loss)).toBeLessThan(evals[0]!.loss);
    for (const line of evals.slice(1)) expect(Object.keys(line.scores!)).toEqual(own.scores);
    expect(stepsOf(runDir).every((s) => s.grad_norm > 0)).toBe(true);
    expect(
      metricsOf(runDir)
        .filter((line): line is SampleLine => line.kind === 'sample')
        .every((line) => line.completion !== ''),
    ).toBe(true);

    const adapter = path.join(runDir, 'adapter');
    await withSafetensors(path.join(adapter, 'adapter_model.safetensors'), (source) => {
      for (const [name, shape] of Object.entries(own.head))
        expect(source.tensors.get(name)?.shape).toEqual(shape);
      return Promise.resolve();
    });
    const config = JSON.parse(readFileSync(path.join(adapter, 'adapter_config.json'), 'utf8')) as {
      task_type: string | null;
      modules_to_save: string[] | null;
    };
    expect(config.task_type).toBe(own.task_type);
    expect(config.modules_to_save).toEqual(savedHeads(own.task));

    const { recipe } = recordOf(runDir);
    const measured = await cli(
      'evaluate',
      '--base',
      recipe.base,
      '--adapter',
      adapter,
      '--dataset',
      firstPathOf(recipe.dataset),
      '--json',
    );
    expect(measured.stderr).toBe('');
    expect(Object.keys(JSON.parse(measured.stdout) as object)).toEqual(
      expect.arrayContaining([...own.scores]),
    );

    expect(weightsOf(await resumedBefore(runDir, 20)).equals(weightsOf(runDir))).toBe(true);
  });
});

const bert = path.join(fixtures, 'bert/base');
const rowsFile = (...rows: object[]) => {
  const file = path.join(tempFolder(), 'rows.jsonl');
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
};

it('an adapter with a head is trained further, with its own labels', async () => {
  const first = await train(recipeOf(CASES['classes of texts by bert']!));
  const again = recipeOf({
    ...CASES['classes of texts by bert']!,
    lora: { init_adapter: path.join(first, 'adapter') },
  });
  const second = await train(again);
  expect(stepsOf(second)[0]!.loss).toBeLessThan(0.7 * stepsOf(first)[0]!.loss);
  const other = recipeOf({
    ...CASES['classes of texts by bert']!,
    rows: words(24, (c, i) => ({ text: text(c, i), label: i % 4 })),
    lora: { init_adapter: path.join(first, 'adapter') },
  });
  const { code, stderr } = await cli('train', other, '--run-dir', path.join(tempFolder(), 'run'));
  expect(code).toBe(1);
  expect(stderr).toMatch(/The adapter has 3 labels, but the dataset has 4/);
});

it('a base keeps its head and labels if the rows have no other labels', async () => {
  const rows = words(12, (c, i) => ({ text: text(c, i), label: `LABEL_${COLOURS.indexOf(c)}` }));
  const evaluated = await cli('evaluate', '--base', bert, '--dataset', rowsFile(...rows), '--json');
  const runDir = await train(
    recipeOf({
      ...CASES['classes of texts by bert']!,
      rows,
      training: { learning_rate: 1e-9, max_steps: 1 },
    }),
  );
  expect(JSON.parse(readFileSync(path.join(runDir, 'adapter/labels.json'), 'utf8'))).toMatchObject({
    id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' },
  });
  const after = await cli(
    'evaluate',
    '--base',
    bert,
    '--adapter',
    path.join(runDir, 'adapter'),
    '--dataset',
    rowsFile(...rows),
    '--json',
  );
  const lossOf = (line: string) => (JSON.parse(line) as { loss: number }).loss;
  expect(lossOf(after.stdout)).toBeCloseTo(lossOf(evaluated.stdout), 5);
});

it('a merge into a base with other labels writes the labels of the adapter', async () => {
  const runDir = await train(recipeOf(CASES['classes of texts by bert']!));
  const merged = path.join(tempFolder(), 'merged');
  expect(
    (
      await cli(
        'merge',
        '--base',
        bert,
        '--adapter',
        path.join(runDir, 'adapter'),
        '--output',
        merged,
      )
    ).code,
  ).toBe(0);
  expect(JSON.parse(readFileSync(path.join(merged, 'config.json'), 'utf8'))).toMatchObject({
    id2label: { 0: 'blue', 1: 'green', 2: 'red' },
    label2id: { blue: 0, green: 1, red: 2 },
  });
});

describe('a contradiction is reported in one clear message', () => {
  const said = async (change: object, ...rows: object[]) => {
    const { code, stderr } = await cli(
      'train',
      makeRecipe({ top: { base: bert, task: 'seq_cls', ...change } }, rows),
      '--run-dir',
      path.join(tempFolder(), 'run'),
    );
    expect(code).toBe(1);
    return stderr;
  };

  it('between the task, the rows and the labels', async () => {
    expect(await said({ task: 'causal_lm' }, { text: 'a' })).toMatch(
      /A bert model does not support the task "causal_lm"/,
    );
    expect(await said({}, { text: 'a', label: 'x' }, { text: 'b', label: 'x' })).toMatch(
      /rows\.jsonl|data\.jsonl.*All rows have the label "x"/s,
    );
    expect(await said({}, { prompt: 'a', completion: 'b' })).toMatch(
      /known rows have: text and label/,
    );
    expect(await said({}, { text: 'a', label: 0.5 }, { text: 'b', label: 'x' })).toMatch(
      /data\.jsonl:2.*regression.*"x"/s,
    );
    expect(await said({}, { text: 'a', label: 'x' }, { text: 'b', label: ['x', 'y'] })).toMatch(
      /data\.jsonl:1.*lists of labels/s,
    );
    expect(await said({}, { text: 'a', labels: [1, 0, 1, 0] }, { text: 'b', labels: [] })).toMatch(
      /is twice in the list/,
    );
    expect(await said({ task: 'token_cls' }, { tokens: ['a', 'b'], tags: ['x'] })).toMatch(
      /"tags" has 1 entry, but "tokens" has 2/,
    );
    expect(
      await said({ task: 'image_cls', base: path.join(fixtures, 'vit/base') }, { text: 'a' }),
    ).toMatch(/folder of images cannot be read/);
  });

  it('between an adapter and a base without a head, or with unknown labels', async () => {
    const file = rowsFile({ text: 'a', label: 'x' }, { text: 'b', label: 'LABEL_1' });
    const { stderr } = await cli('evaluate', '--base', bert, '--dataset', file);
    expect(stderr).toMatch(/rows\.jsonl:1.*no label "x"; it has "LABEL_0"/s);
    const noHead = await cli(
      'evaluate',
      '--base',
      path.join(fixtures, 'llama/base'),
      '--adapter',
      path.join(fixtures, 'bert/seq-cls/adapter'),
      '--dataset',
      file,
    );
    expect(noHead.code).toBe(1);
  });
});

it('inspect lists the layers of any base with their shapes and the cost of r', async () => {
  const of = async (name: string) =>
    (await cli('inspect', path.join(fixtures, name, 'base'))).stdout;
  expect(await of('bert')).toMatch(/ query +\d+ x 48 x 48 +96·r instead of 2,304/);
  expect(await of('vit')).toMatch(/ projection +1 x 48 x 48 /);
  expect(await of('gpt2')).toMatch(/ c_attn +\d+ x \d+ x \d+ +\d+·r instead of/);
  expect(await of('gpt2')).toMatch(/ wte /);
});

it('rows longer than the model supports are truncated, with a warning', async () => {
  const rows = words(12, (c, i) => ({ text: `${text(c, i)} ${'and so on '.repeat(8)}`, label: c }));
  await train(
    recipeOf({
      ...CASES['classes of texts by bert']!,
      rows,
      training: { max_steps: 2, max_length: 48 },
    }),
    /12 of 12 rows are truncated to 32 tokens, the most that the model supports \(max_length is 48\); the longest has \d+\./,
  );
});
