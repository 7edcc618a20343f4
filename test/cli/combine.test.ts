import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { compareAdapters } from '../../src/lora/compare';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import { cli, fixtures, tempFolder } from '../support/commandLine';

interface Combination {
  readonly out: string;
  readonly type: string;
  readonly weights: readonly number[];
  readonly svd_rank?: number;
  readonly density?: number;
  readonly majority_sign_method?: string;
}

const newFolder = () => path.join(tempFolder(), 'adapter');
const COMBINATIONS = ['pair', 'pair-mixed-rank'].flatMap((pair) =>
  (
    readJson('llama', pair, 'expected.json') as { combinations: readonly Combination[] }
  ).combinations.map((own) => [`${pair}/${own.out}`, pair, own] as const),
);

async function run(
  command: string,
  ...args: readonly string[]
): Promise<{
  readonly output: string;
  readonly error: number;
  readonly modules: readonly { readonly before: number; readonly after: number }[];
  readonly bytes_after: number;
  readonly bytes_before: number;
}> {
  const { code, stdout, stderr } = await cli(command, ...args, '--output', newFolder(), '--json');
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout) as never;
}

const pairArgs = (
  pair: string,
  { type, weights, svd_rank, density, majority_sign_method }: Combination,
) => [
  ...['adapter_a', 'adapter_b'].flatMap((name) => [
    '--adapter',
    path.join(fixtures, 'llama', pair, name),
  ]),
  '--type',
  type,
  `--weights=${weights.join(',')}`,
  ...(svd_rank === undefined ? [] : ['--rank', String(svd_rank)]),
  ...(density === undefined ? [] : ['--density', String(density)]),
  ...(majority_sign_method === undefined ? [] : ['--sign', majority_sign_method]),
];

describe.each(COMBINATIONS)('%s', (_, pair, combination) => {
  it("has the updates and the logits of PEFT's combination", async () => {
    const { output, error } = await run('combine', ...pairArgs(pair, combination), '--peft');
    const [have, want] = [
      (await readPeftAdapter(output)).adapter,
      (await readPeftAdapter(path.join(fixtures, 'llama', pair, combination.out))).adapter,
    ];
    const { total, only_a, only_b } = compareAdapters(have, want);
    expect(total.norm_of_difference).toBeLessThanOrEqual(2e-6 * total.norm_b);
    expect([only_a, only_b]).toEqual([[], []]);
    expect(combination.type === 'cat' ? error < 1e-6 : error > 0.01).toBe(true);
    const { inputs } = readJson('llama', pair, 'expected.json') as SingleCase;
    const [input, logits] = [
      path.join(tempFolder(), 'in.json'),
      path.join(tempFolder(), 'out.safetensors'),
    ];
    writeFileSync(input, JSON.stringify(inputs));
    await cli(
      'logits',
      '--base',
      path.join(fixtures, 'llama/base'),
      '--adapter',
      output,
      '--input',
      input,
      '--output',
      logits,
    );
    const expected = (await readFloats('llama', pair, 'expected.safetensors')).get(
      `${combination.out}.logits`,
    )!;
    await withSafetensors(logits, async (source) =>
      expect(gap(await source.readF32('logits'), expected)).toBeLessThanOrEqual(
        1e-4 * Math.max(1, largest(expected)),
      ),
    );
  });
});

it('linear is exact, except with --peft, which reports the error of its cross terms', async () => {
  const linear = COMBINATIONS.find(([name]) => name === 'pair/linear')![2];
  expect((await run('combine', ...pairArgs('pair', linear))).error).toBeLessThan(1e-6);
  expect((await run('combine', ...pairArgs('pair', linear), '--peft')).error).toBeGreaterThan(0.1);
});

it('the scale of rsLoRA adapters is applied once only', async () => {
  const { output } = await run(
    'combine',
    ...pairArgs('pair-mixed-rank', { out: 'x', type: 'cat', weights: [1, 1] }),
  );
  const config = JSON.parse(readFileSync(path.join(output, 'adapter_config.json'), 'utf8')) as {
    use_rslora: boolean;
    r: number;
    lora_alpha: number;
  };
  expect(config.use_rslora).toBe(false);
  expect(config.lora_alpha).toBe(config.r);
});

it('adapters that cannot be combined are refused, with a fix', async () => {
  const refusal = async (...args: readonly string[]) =>
    (await cli('combine', ...args, '--output', newFolder())).stderr;
  const dora = path.join(fixtures, 'qwen3/dora/adapter');
  const whole = path.join(fixtures, 'mistral/modules-to-save-lm-head/adapter');
  const plain = path.join(fixtures, 'llama/pair/adapter_a');
  expect(await refusal('--adapter', dora, '--adapter', dora, '--type', 'cat')).toMatch(
    /DoRA adapters.*Merge them one after the other/,
  );
  expect(await refusal('--adapter', whole, '--adapter', whole, '--type', 'cat')).toMatch(
    /trained beside LoRA \(modules_to_save, biases, trainable_token_indices\) cannot be added/,
  );
  expect(await refusal('--adapter', plain, '--type', 'cat', '--rank', '2')).toMatch(
    /--rank needs --type svd/,
  );
  expect(
    await refusal('--adapter', plain, '--adapter', plain, '--type', 'cat', '--weights', '1'),
  ).toMatch(/need 2 weights/);
  expect(await refusal('--adapter', plain, '--adapter', plain, '--type', 'dare')).toMatch(
    /--type must be one of/,
  );
  expect(
    await refusal(
      '--adapter',
      path.join(fixtures, 'llama/pair-mixed-rank/adapter_a'),
      '--adapter',
      path.join(fixtures, 'llama/pair-mixed-rank/adapter_b'),
      '--type',
      'ties',
    ),
  ).toMatch(/different rank in each adapter.*Use cat or svd/);
});

describe('resize', () => {
  const adapter = path.join(fixtures, 'llama/all-linear/adapter');

  it("reaches the rank, energy or error, and reports the error and the file's size", async () => {
    const original = (await readPeftAdapter(adapter)).adapter;
    const half = await run('resize', '--adapter', adapter, '--rank', '2');
    const { total } = compareAdapters((await readPeftAdapter(half.output)).adapter, original);
    expect(Math.abs(total.norm_of_difference / total.norm_b - half.error)).toBeLessThan(1e-5);
    expect(half.error).toBeGreaterThan(0.01);
    expect(half.bytes_after).toBeLessThan(half.bytes_before);
    expect(half.modules.every(({ after }) => after === 2)).toBe(true);
    expect(
      (await run('resize', '--adapter', adapter, '--energy', '0.9')).error,
    ).toBeLessThanOrEqual(Math.sqrt(0.1) + 1e-9);
    expect((await run('resize', '--adapter', adapter, '--error', '0.3')).error).toBeLessThanOrEqual(
      0.3 + 1e-9,
    );
  });

  it('to the same rank gives an equivalent adapter', async () => {
    const whole = await run('resize', '--adapter', adapter, '--energy', '1');
    const { stdout } = await cli('compare', adapter, whole.output, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ equal: true });
  });

  it('finds the rank that is needed: the original one for an adapter added to itself', async () => {
    const twice = await run(
      'combine',
      '--adapter',
      adapter,
      '--adapter',
      adapter,
      '--type',
      'cat',
      '--weights',
      '0.5,0.5',
    );
    const { modules } = await run('resize', '--adapter', twice.output, '--error', '0.000001');
    const { r } = (await readPeftAdapter(adapter)).adapter.config;
    expect(modules.every(({ before, after }) => before === 2 * r && after === r)).toBe(true);
  });
});
