import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { RunRows } from '../../src/engine/serve/runRows';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  resumedBefore,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';
import { ServedHttp } from '../support/servedHttp';

const folder = path.join(fixtures, 'qwen3-vl-images');
const base = path.join(folder, 'base');
const rows = readFileSync(path.join(folder, 'chats', 'rows.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { messages: { content: unknown }[] });

/** A recipe whose rows have their images beside them. */
function recipeOf(
  training: object = {},
  top: object = {},
  lora: object = { target_modules: ['q_proj', 'v_proj'] },
): string {
  const file = makeRecipe(
    {
      top: { base, ...top },
      lora,
      training: { max_length: 128, learning_rate: 0.01, ...training },
    },
    rows,
  );
  cpSync(path.join(folder, 'chats'), path.dirname(file), { recursive: true });
  return file;
}

let recipe: string;
let runDir: string;
beforeAll(async () => {
  recipe = recipeOf(
    {},
    { validation: 'rows.jsonl', samples: { sample_steps: 6, max_new_tokens: 4 } },
    { target_modules: 'all-linear', lora_dropout: 0.05 },
  );
  runDir = await train(recipe);
});

it('trains chats with images, their tower too, answers them, and resumes to the same bytes', async () => {
  const lines = metricsOf(runDir);
  const losses = lines.flatMap((line) => (line.kind === 'eval' ? [line.loss] : []));
  expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.01);
  const samples = lines.filter((line) => line.kind === 'sample');
  expect(samples.length).toBeGreaterThan(2);
  expect(weightsOf(await resumedBefore(runDir, 12)).equals(weightsOf(runDir))).toBe(true);
  const config = readFileSync(path.join(runDir, 'adapter', 'adapter_config.json'), 'utf8');
  const { target_modules: paths } = JSON.parse(config) as { target_modules: string[] };
  const known = readFileSync(path.join(fixtures, 'qwen3-vl-tower', 'expected.json'), 'utf8');
  const { selected } = JSON.parse(known) as { selected: { linear: string[] } };
  expect(paths.toSorted()).toEqual(selected.linear.toSorted());
});

it('evaluates the adapter and the merged model alike, and answers a question about an image', async () => {
  const adapter = path.join(runDir, 'adapter');
  const merged = path.join(tempFolder(), 'merged');
  expect((await cli('merge', '--base', base, '--adapter', adapter, '--output', merged)).code).toBe(
    0,
  );
  const dataset = path.join(path.dirname(recipe), 'rows.jsonl');
  const lossOf = async (...model: string[]) => {
    const { stdout } = await cli('evaluate', ...model, '--dataset', dataset, '--json');
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const loss = await lossOf('--base', base, '--adapter', adapter);
  expect(await lossOf('--base', merged)).toBeCloseTo(loss, 4);
  const last = metricsOf(runDir).findLast((line) => line.kind === 'eval');
  expect(loss).toBeCloseTo(last!.loss, 4);
  const messages = path.join(path.dirname(recipe), 'ask.json');
  writeFileSync(messages, JSON.stringify(rows[0]!.messages.slice(0, -1)));
  const asked = ['--base', base, '--messages', messages, '--max-new-tokens', '12', '--json'];
  const own = await cli('generate', '--adapter', path.join(folder, 'adapter'), ...asked);
  expect(own.code).toBe(0);
  const plain = await cli(
    'generate',
    '--base',
    path.join(fixtures, 'llama/base'),
    ...asked.slice(2),
  );
  expect(plain.code).not.toBe(0);
  expect(plain.stderr + plain.stdout).toContain('only for qwen3_vl');
});

it('serves chats with images within the request, as it generates them', async () => {
  const adapter = path.join(folder, 'adapter');
  const served = new ServedHttp(['--base', base, '--adapter', adapter]);
  try {
    const openai = await served.client();
    const data = readFileSync(path.join(folder, 'chats', 'wide.png')).toString('base64');
    const ask = (url: string) =>
      openai.chat.completions.create({
        model: 'base+qwen3-vl-images',
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url } },
              { type: 'text', text: 'What is it?' },
            ],
          },
        ],
        temperature: 0,
        max_completion_tokens: 12,
      });
    const { choices, usage } = await ask(`data:image/png;base64,${data}`);
    const messages = path.join(path.dirname(recipe), 'served.json');
    writeFileSync(messages, JSON.stringify(rows[0]!.messages.slice(0, -1)));
    const asked = ['--base', base, '--adapter', adapter, '--messages', messages];
    const own = await cli('generate', ...asked, '--max-new-tokens', '12', '--json');
    const { text } = JSON.parse(own.stdout.trimEnd().split('\n').at(-1)!) as { text: string };
    expect(choices[0]!.message.content).toBe(text.trim());
    const known = readFileSync(path.join(folder, 'expected.json'), 'utf8');
    const { answers } = JSON.parse(known) as { answers: { prompt_ids: number[] }[] };
    expect(usage!.prompt_tokens).toBe(answers[0]!.prompt_ids.length);
    await expect(ask('http://127.0.0.1/a.png')).rejects.toThrow('nothing is downloaded');
    await expect(ask(`data:image/png;base64,${data.slice(0, 400)}`)).rejects.toThrow(
      /image\/png;base64,… \(\d+ characters\) cannot be read/,
    );
  } finally {
    await served.end();
  }
});

it('refuses to ask about a row without its images', async () => {
  const trained = new RunRows(runDir);
  const question = { system: '', prompt: 'Why?' };
  await expect(trained.chat(0, question, {})).rejects.toThrow('Row 1 has images');
  const plain = await trained.chat(2, question, {});
  expect(plain.messages).toEqual([{ role: 'user', content: 'Why?' }]);
  await trained.close();
});

it('names the row of an image that cannot be read, in a check and in a training', async () => {
  const file = recipeOf();
  rmSync(path.join(path.dirname(file), 'tall.png'));
  const png = path.join(path.dirname(file), 'wide.png');
  writeFileSync(png, readFileSync(png).subarray(0, -20));
  for (const command of ['check', 'train']) {
    const { code, stdout, stderr } = await cli(command, file);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(
      /data\.jsonl:1.*wide\.png cannot be read: the file is cut short/,
    );
    expect(stdout + stderr).toMatch(/data\.jsonl:2.*tall\.png cannot be read: it does not exist/);
  }
});

it.each([
  [{ packing: true }, {}, 'Rows with images cannot be packed'],
  [{ method: 'full' }, {}, 'Rows with images cannot be trained with all weights'],
  [{}, { base: path.join(fixtures, 'llama/base') }, 'not supported for llama, only for qwen3_vl'],
])('refuses what is not supported by name: %j %j', async (training, top, message) => {
  const { code, stdout, stderr } = await cli('train', recipeOf(training, top));
  expect(code).not.toBe(0);
  expect(stdout + stderr).toContain(message);
});

it('tells the size of the tower', async () => {
  const { stdout } = await cli('inspect', base);
  expect(stdout).toContain('Images in chats: read by a vision encoder of 26,840 parameters');
});
