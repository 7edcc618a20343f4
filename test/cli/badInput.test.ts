import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  baseWith,
  chats,
  cli,
  editJson,
  filesIn,
  fixtures,
  makeRecipe,
  recordOf,
  startCli,
  tempFolder,
  train,
} from '../support/commandLine';

/** Expects one clear message, printed once, and no incomplete files. Returns stderr. */
async function refuses(recipe: string, message: RegExp): Promise<string> {
  const runDir = path.join(path.dirname(recipe), 'run');
  const { code, stderr } = await cli('train', recipe, '--run-dir', runDir);
  expect(stderr).toMatch(message);
  expect(stderr.match(new RegExp(message.source, 'g'))).toHaveLength(1);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
  expect(
    filesIn(runDir).filter((file) => /adapter|checkpoints|best|tmp|engine\.json/.test(file)),
  ).toEqual([]);
  if (existsSync(path.join(runDir, 'run.json'))) expect(recordOf(runDir).state).toBe('failed');
  return stderr;
}

const NUMBERS: readonly (readonly [string, number, string])[] = [
  ['r', 0, 'must be at least 1, not 0'],
  ['r', -5, 'must be at least 1, not -5'],
  ['r', 2.7, 'must be a whole number, not 2.7'],
  ['lora_alpha', 0, 'must be above 0, not 0'],
  ['lora_alpha', -8, 'must be above 0, not -8'],
];

describe('rank and alpha', () => {
  it.each(NUMBERS)(
    '%s = %s is refused in the recipe and in an imported adapter',
    async (key, value, words) => {
      await refuses(
        makeRecipe({ lora: { [key]: value } }),
        new RegExp(`lora\\.json:1:\\d+, key lora\\.${key}: "lora\\.${key}" ${words}`),
      );
      const adapter = path.join(tempFolder(), 'adapter');
      cpSync(path.join(fixtures, 'llama/lora-qv/adapter'), adapter, { recursive: true });
      editJson(path.join(adapter, 'adapter_config.json'), { [key]: value });
      const message = new RegExp(`adapter_config\\.json, key ${key}: .*"${key}" ${words}`);
      await refuses(makeRecipe({ lora: { init_adapter: adapter } }), message);
      expect((await cli('inspect', adapter)).stderr).toMatch(message);
    },
  );

  it("an r above the layer's smaller side: a warning, in a recipe and in an imported adapter", async () => {
    const first = await train(
      makeRecipe({ lora: { r: 64 }, training: { max_steps: 1 } }),
      /^r = 64 exceeds the smaller side of model\.layers\.0\.self_attn\.q_proj \(48 x 48\) and of \d+ more modules/,
    );
    const second = await train(
      makeRecipe({
        lora: { init_adapter: path.join(first, 'adapter') },
        training: { max_steps: 1 },
      }),
      /^r = 64 exceeds the smaller side/m,
    );
    expect(readFileSync(path.join(second, 'adapter/README.md'), 'utf8')).toContain('rank r = 64');
  });

  it('an r that does not fit into memory is refused before any of it is allocated', async () => {
    const message = await refuses(
      makeRecipe({ lora: { r: 100_000_000 } }),
      /This training needs about [\d.]+ GB of memory, but only [\d.]+ GB is free/,
    );
    expect(message).toContain('Use a smaller r or fewer target_modules');
  });
});

describe('target_modules', () => {
  it('with a misspelled name: a warning with the nearest name and the number of adapted layers', async () => {
    await train(
      makeRecipe({
        lora: { target_modules: ['q_prj', 'v_proj', 'wte'] },
        training: { max_steps: 1 },
      }),
      /^target_modules: "q_prj" is not a module of this base; did you mean "q_proj"\? "wte" is not a module of this base\. 2 of 1[56] layers are adapted \(v_proj\)\.$/m,
    );
  });

  it('that match nothing: an error with the nearest name, for a list and for an expression', async () => {
    await refuses(
      makeRecipe({ lora: { target_modules: ['q_prj', 'down'] } }),
      /lora\.json:1:\d+, key lora\.target_modules: No module matches target_modules\. "q_prj" is not a module of this base; did you mean "q_proj"\? "down" is not a module/,
    );
    const stderr = await refuses(
      makeRecipe({ lora: { target_modules: 'v_prj' } }),
      /"v_prj" is read as a regular expression for the whole module path\. Did you mean "v_proj"\?/,
    );
    expect(stderr).toMatch(/Use "all-linear", or a list of .*"q_proj"/);
    await refuses(
      makeRecipe({ lora: { target_modules: '(q_proj' } }),
      /lora\.json:1:\d+, key lora\.target_modules: "target_modules" is not a supported regular expression: \(q_proj/,
    );
  });
});

describe('a base', () => {
  const weights = (folder: string) => path.join(folder, 'model.safetensors');
  const cases: readonly (readonly [string, (folder: string) => void, RegExp])[] = [
    [
      'cut off in the middle',
      (folder) => truncateSync(weights(folder), 100_000),
      /model\.safetensors(, tensor \S+)?: /,
    ],
    [
      'of another shape than its config says',
      (folder) => editJson(path.join(folder, 'config.json'), { intermediate_size: 96 }),
      /base: The weights do not fit the config: 6 of 20 tensors.*\n.*tensor model\.layers\.0\.mlp\.gate_proj\.weight: Its shape is \[112, 48\], the config asks for \[96, 48\]/,
    ],
    [
      'with fewer layers in its file than in its config',
      (folder) => editJson(path.join(folder, 'config.json'), { num_hidden_layers: 3 }),
      /base: The weights do not fit the config: 9 of 29 tensors.*\n.*tensor model\.layers\.2\.self_attn\.q_proj\.weight: It is missing/,
    ],
    [
      'whose tokenizer is no tokenizer',
      (folder) => writeFileSync(path.join(folder, 'tokenizer.json'), '{}'),
      /tokenizer\.json: The tokenizer cannot be read/,
    ],
  ];

  it.each(cases)('%s', async (_name, change, message) => {
    await refuses(makeRecipe({ top: { base: baseWith(change) } }), message);
  });
});

it('a recipe in a folder that is not writable', async () => {
  const recipe = makeRecipe({ training: { max_steps: 1 } });
  writeFileSync(path.join(path.dirname(recipe), '.lora'), '');
  const { code, stderr } = await cli('train', recipe);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /\.lora\/runs\/\S+: The run cannot be written: .*\nMake the folder writable, or choose another one \(--run-dir\)\.\n$/,
  );
  expect(filesIn(path.dirname(recipe))).toEqual(['.lora', 'data.jsonl', 'lora.json']);
});

it('inputs without a label have no loss: logits reports an error instead of writing NaN', async () => {
  const folder = tempFolder();
  const [input, output] = [path.join(folder, 'in.json'), path.join(folder, 'out.safetensors')];
  writeFileSync(input, JSON.stringify({ input_ids: [[1, 2, 3]], labels: [[1, -100, -100]] }));
  const { code, stderr } = await cli(
    'logits',
    '--base',
    path.join(fixtures, 'llama/base'),
    '--input',
    input,
    '--output',
    output,
    '--grads',
  );
  expect(code).toBe(2);
  expect(stderr).toMatch(/in\.json, key labels: No token is labelled/);
  expect(existsSync(output)).toBe(false);
});

it('a dataset with some faulty rows: all of them are reported at once', async () => {
  const stderr = await refuses(
    makeRecipe({}, [...chats(), { messages: [] }, { prompt: 'a' }]),
    /The dataset has 2 errors in 2 rows\./,
  );
  expect(stderr).toMatch(/data\.jsonl:11[\s\S]*data\.jsonl:12/);
});

describe('a learning rate at which the training diverges', () => {
  const training = {
    learning_rate: 1e39,
    max_steps: 3,
    warmup_ratio: 0,
    per_device_train_batch_size: 5,
    max_grad_norm: 0,
  };

  it.each([
    [
      'with a validation set',
      0.1,
      /The validation loss became NaN after step 1: the training diverged\./,
    ],
    ['without', 0, /The loss or its gradient became NaN at step 2, in the rows at lines /],
  ])(
    '%s ends the run with what to do, and no number that is none gets into its metrics',
    async (_name, validation_split, message) => {
      const recipe = makeRecipe({
        top: { validation_split },
        training: { ...training, eval_steps: 1 },
      });
      expect(await refuses(recipe, message)).toMatch(
        /Lower learning_rate or clip the gradients with max_grad_norm = 1, .*There is no checkpoint yet\./,
      );
      expect(
        readFileSync(path.join(path.dirname(recipe), 'run/metrics.jsonl'), 'utf8'),
      ).not.toMatch(/null|NaN/);
    },
  );

  it('in the last step: no unusable adapter is written', async () => {
    await refuses(
      makeRecipe({ top: { validation_split: 0 }, training: { ...training, max_steps: 1 } }),
      /The adapter's weights are no longer finite after step 1/,
    );
  });
});

describe('a bad recipe or command line', () => {
  const missing = path.join(tempFolder(), 'nothing');
  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    [
      'no base',
      () => makeRecipe({ top: { base: missing } }),
      /nothing.*The base model cannot be opened/,
    ],
    [
      'an incomplete checkpoint',
      () => makeRecipe({ top: { base: path.join(fixtures, 'malformed/base-shard-missing') } }),
      /model-00002-of-00002\.safetensors/,
    ],
    [
      'an unknown architecture',
      () =>
        makeRecipe({ top: { base: path.join(fixtures, 'malformed/base-config-unknown-type') } }),
      /llama, mistral, qwen2/,
    ],
    [
      'no tokenizer',
      () =>
        makeRecipe({
          top: { base: baseWith((folder) => rmSync(path.join(folder, 'tokenizer.json'))) },
        }),
      /no tokenizer\.json/,
    ],
    [
      'r = 0',
      () => makeRecipe({ lora: { r: 0 } }),
      /lora\.json:1:\d+.*"lora\.r" must be at least 1, not 0/,
    ],
    [
      'no module matched',
      () => makeRecipe({ lora: { target_modules: ['q_prj'] } }),
      /No module matches.*q_prj.*did you mean "q_proj"/,
    ],
    ['an empty dataset', () => makeRecipe({}, []), /data\.jsonl/],
    [
      'a fault in a row',
      () => makeRecipe({}, [{ messages: [{ role: 'user', content: 'a' }] }, { prompt: 1 }]),
      /data\.jsonl:1[\s\S]*data\.jsonl:2/,
    ],
    [
      'no label after truncation',
      () => makeRecipe({ training: { max_length: 4 } }),
      /data\.jsonl:1/,
    ],
  ];

  it.each(cases)(
    '%s: one clear message and no incomplete files',
    async (_name, makeBad, message) => {
      const recipe = makeBad();
      const runDir = path.join(path.dirname(recipe), 'run');
      const { code, stderr } = await cli('train', recipe, '--run-dir', runDir);
      expect(stderr).toMatch(message);
      expect(code).toBe(1);
      expect(
        filesIn(runDir).filter((file) => /adapter|checkpoints|best|tmp|engine\.json/.test(file)),
      ).toEqual([]);
      if (existsSync(path.join(runDir, 'run.json'))) expect(recordOf(runDir).state).toBe('failed');
    },
  );

  it("a rank above the layer's smaller side: a warning, and it trains", async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { code, stderr } = await cli(
      'train',
      makeRecipe({ lora: { r: 64, target_modules: ['k_proj'] }, training: { max_steps: 1 } }),
      '--run-dir',
      runDir,
    );
    expect(code).toBe(0);
    expect(stderr).toMatch(/r = 64 exceeds the smaller side of .*k_proj/);
  });

  it('a run folder that contains a run or lies inside a file is refused', async () => {
    const recipe = makeRecipe({ training: { max_steps: 1 } });
    const runDir = await train(recipe);
    expect((await cli('train', recipe, '--run-dir', runDir)).stderr).toContain(
      'This folder already contains a run',
    );
    const { code, stderr } = await cli('train', recipe, '--run-dir', path.join(recipe, 'run'));
    expect([code, stderr.includes('cannot be written')]).toEqual([1, true]);
  });

  it('wrong arguments: exit code 2 and the usage', async () => {
    for (const args of [
      ['trian'],
      ['train'],
      ['generate', '--prompt', 'x'],
      ['train', 'a', '--rnu-dir', 'x'],
    ]) {
      const { code, stderr } = await cli(...args);
      expect(code).toBe(2);
      expect(stderr).toContain('lora ');
    }
  });

  it('no runtime: the message says how to install one', async () => {
    const { end } = startCli(['train', makeRecipe()], { LORA_RUNTIME_HOME: tempFolder() });
    const { code, stderr } = await end;
    expect(code).toBe(1);
    expect(stderr).toContain('lora runtime --install');
  });
});

it('a folder with nothing but a pickled adapter is inspected as an adapter, not as a model', async () => {
  const folder = tempFolder();
  const file = path.join(folder, 'adapter_model.bin');
  writeFileSync(file, 'PK');
  const { code, stderr } = await cli('inspect', folder);
  expect([code, stderr]).toEqual([
    1,
    `${file}: The file is a pickle, which is not read because it can run code.\nSave the adapter again in safetensors.\n`,
  ]);
});
