import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectAdapter, readAdapter } from '../../src/formats/adapterFormat';
import { openBase } from '../../src/formats/openBase';
import { GgufFile } from '../../src/formats/gguf/read';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { mergedBase, scaledAdapter } from '../support/adapters';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { cli, editJson, fixtures, tempFolder } from '../support/commandLine';

const at = (...parts: readonly string[]) => path.join(fixtures, ...parts);
const FORMATS = {
  mlx: 'adapter',
  gguf: 'adapter.gguf',
  kohya: 'adapter.safetensors',
  peft: 'adapter',
} as const;
type Format = keyof typeof FORMATS;

interface Result {
  readonly output: string;
  readonly notes: readonly string[];
  readonly warned: string;
}

async function convert(
  adapter: string,
  to: Format,
  base: string | null,
  ...more: readonly string[]
): Promise<Result> {
  const output = path.join(tempFolder(), FORMATS[to]);
  const { code, stdout, stderr } = await cli(
    'convert',
    '--adapter',
    adapter,
    '--to',
    to,
    '--output',
    output,
    ...(base === null ? [] : ['--base', base]),
    ...more,
    '--json',
  );
  if (code !== 0) throw new Error(stderr);
  return { ...(JSON.parse(stdout.trim().split('\n').at(-1)!) as Result), output, warned: stderr };
}

async function refusal(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cli('convert', ...args);
  expect(code).not.toBe(0);
  expect(stdout).toBe('');
  return stderr;
}

async function read(adapter: string, base: string | null): Promise<Adapter> {
  const opened = base === null ? null : await openBase(base);
  try {
    return (await readAdapter(await detectAdapter(adapter), opened)).adapter;
  } finally {
    await opened?.close();
  }
}

/** dW [out, in] in f64. */
function update({ A, B, r, in_features, out_features, scaling }: LoraFactors): Float64Array {
  const dW = new Float64Array(out_features * in_features);
  for (let o = 0; o < out_features; o++)
    for (let k = 0; k < r; k++)
      for (let i = 0; i < in_features; i++)
        dW[o * in_features + i]! += scaling * B[o * r + k]! * A[k * in_features + i]!;
  return dW;
}

function expectSame(have: Adapter, want: Adapter): void {
  const byPath = new Map(have.modules.map((m) => [m.path, m]));
  expect([...byPath.keys()].sort()).toEqual(want.modules.map((m) => m.path).sort());
  for (const m of want.modules) {
    const [x, y] = [update(byPath.get(m.path)!), update(m)];
    expect(x.length).toBe(y.length);
    const most = y.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(most).toBeGreaterThan(0);
    expect(
      x.reduce((max, value, i) => Math.max(max, Math.abs(value - y[i]!)), 0),
    ).toBeLessThanOrEqual(1e-6 * most);
    expect(byPath.get(m.path)!.kind).toBe(m.kind);
    expect(byPath.get(m.path)!.magnitude).toEqual(m.magnitude);
  }
}

async function tensorsOf(
  file: string,
): Promise<
  ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>
> {
  const all = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  if (file.endsWith('.gguf')) {
    const source = await GgufFile.open(file);
    for (const tensor of source.header.tensors.values())
      all.set(tensor.name, { shape: tensor.shape, data: await source.readF32(tensor) });
    await source.close();
    return all;
  }
  await withSafetensors(file, async (source) => {
    for (const { name, shape } of source.tensors.values())
      all.set(name, { shape, data: await source.readF32(name) });
  });
  return all;
}

describe("PEFT's adapter and its copies in other formats", () => {
  const base = at('llama/base');
  const original = at('llama/formats/adapter');
  const copies = {
    mlx: at('llama/formats/mlx'),
    gguf: at('llama/formats/gguf/adapter.gguf'),
    kohya: at('llama/formats/kohya/adapter.safetensors'),
  } as const;
  const weightsIn = (format: keyof typeof copies, place: string) =>
    format === 'mlx' ? path.join(place, 'adapters.safetensors') : place;

  it.each(Object.entries(copies))(
    "%s becomes PEFT's, with the same updates and logits",
    async (_, copy) => {
      const { output } = await convert(copy, 'peft', base);
      expectSame(
        (await readPeftAdapter(output)).adapter,
        (await readPeftAdapter(original)).adapter,
      );
      const { inputs } = readJson<SingleCase>('llama', 'formats', 'expected.json');
      const [input, logits] = [
        path.join(tempFolder(), 'in.json'),
        path.join(tempFolder(), 'out.safetensors'),
      ];
      writeFileSync(input, JSON.stringify(inputs));
      const { stderr } = await cli(
        'logits',
        '--base',
        base,
        '--adapter',
        output,
        '--input',
        input,
        '--output',
        logits,
      );
      expect(
        stderr.replace(
          /^adapter_config\.json: The adapter was made for fixtures\/llama-tiny.*\n/,
          '',
        ),
      ).toBe('');
      const want = (await readFloats('llama', 'formats', 'expected.safetensors')).get(
        'adapter.logits',
      )!;
      await withSafetensors(logits, async (source) =>
        expect(gap(await source.readF32('logits'), want)).toBeLessThanOrEqual(
          5e-5 * Math.max(1, largest(want)),
        ),
      );
    },
  );

  it.each(Object.entries(copies) as [keyof typeof copies, string][])(
    'it is written as the %s file that it was made into, number by number',
    async (format, copy) => {
      const { output } = await convert(original, format, base);
      const [have, want] = [
        await tensorsOf(weightsIn(format, output)),
        await tensorsOf(weightsIn(format, copy)),
      ];
      expect([...have.keys()].sort()).toEqual([...want.keys()].sort());
      for (const [name, { shape, data }] of want) {
        expect(have.get(name)!.shape).toEqual(shape);
        expect(have.get(name)!.data).toEqual(data);
      }
    },
  );

  it("mlx-lm's settings, and llama.cpp's metadata, are those of the files that were made", async () => {
    const mlx = await convert(original, 'mlx', base);
    const config = (folder: string) =>
      JSON.parse(readFileSync(path.join(folder, 'adapter_config.json'), 'utf8')) as object;
    expect(config(mlx.output)).toEqual({ ...config(copies.mlx), adapter_path: 'adapter' });
    const gguf = await convert(original, 'gguf', base);
    const metadata = async (file: string) => {
      const source = await GgufFile.open(file);
      await source.close();
      return source.header.metadata;
    };
    const [have, want] = [await metadata(gguf.output), await metadata(copies.gguf)];
    for (const [key, value] of want)
      expect([key, have.get(key)]).toEqual([key, key === 'general.name' ? 'formats' : value]);
    expect(have.get('general.base_model.0.name')).toBe('fixtures/llama-tiny');
  });

  it("kohya's names are understood without a base, llama.cpp's rows are not", async () => {
    expectSame(
      (await readPeftAdapter((await convert(copies.kohya, 'peft', null)).output)).adapter,
      (await readPeftAdapter(original)).adapter,
    );
    expectSame(
      (await readPeftAdapter((await convert(copies.mlx, 'peft', null)).output)).adapter,
      (await readPeftAdapter(original)).adapter,
    );
    expect(
      await refusal(
        '--adapter',
        copies.gguf,
        '--to',
        'peft',
        '--output',
        path.join(tempFolder(), 'x'),
      ),
    ).toMatch(/attn_\w+\.weight\.lora_b.*depends on the heads.*--base/s);
    expect(
      await refusal(
        '--adapter',
        original,
        '--to',
        'gguf',
        '--output',
        path.join(tempFolder(), 'x.gguf'),
      ),
    ).toMatch(/needs its base.*--base/s);
  });
});

describe.each(['mlx', 'gguf/adapter.gguf', 'kohya/adapter.safetensors'])(
  'a copy in %s is used as it is',
  (copy) => {
    const [base, own] = [at('llama/base'), at('llama/formats', copy)];

    it("by logits and merge, as PEFT's", async () => {
      const { inputs } = readJson<SingleCase>('llama', 'formats', 'expected.json');
      const [input, logits, merged] = [
        path.join(tempFolder(), 'in.json'),
        path.join(tempFolder(), 'out.safetensors'),
        path.join(tempFolder(), 'merged'),
      ];
      writeFileSync(input, JSON.stringify(inputs));
      expect(
        (
          await cli(
            'logits',
            '--base',
            base,
            '--adapter',
            own,
            '--input',
            input,
            '--output',
            logits,
          )
        ).code,
      ).toBe(0);
      const want = await readFloats('llama', 'formats', 'expected.safetensors');
      const adapted = want.get('adapter.logits')!;
      await withSafetensors(logits, async (source) =>
        expect(gap(await source.readF32('logits'), adapted)).toBeLessThanOrEqual(
          5e-5 * Math.max(1, largest(adapted)),
        ),
      );
      expect(
        (await cli('merge', '--base', base, '--adapter', own, '--output', merged, '--no-parity'))
          .code,
      ).toBe(0);
      await withSafetensors(path.join(merged, 'model.safetensors'), async (source) => {
        for (const [name, data] of want)
          if (name.startsWith('merged.') && name !== 'merged.logits')
            expect(gap(await source.readF32(name.slice(7)), data)).toBeLessThanOrEqual(
              1e-6 * Math.max(1, largest(data)),
            );
      });
      expect((await cli('merge', '--verify', merged)).code).toBe(0);
    });

    it('by inspect, without its base', async () => {
      const { stdout } = await cli('inspect', own);
      expect(stdout).toMatch(
        new RegExp(`LoRA adapter \\(${copy.split('/')[0]!}\\): r = 4, lora_alpha = 8, 14 modules`),
      );
    });
  },
);

const DECODERS = [
  'llama',
  'llama3',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma',
  'gemma2',
  'gemma3_text',
  'phi3',
  'olmo2',
  'smollm3',
  'gpt2',
  'gpt_neox',
];

describe.each(DECODERS)('an adapter of %s with rsLoRA, ranks and alphas of its own', (family) => {
  const base = at(family, 'base');

  it('keeps its updates from PEFT to mlx-lm, kohya, llama.cpp and back', async () => {
    const { folder, adapter } = await scaledAdapter(base);
    let place = folder;
    for (const format of ['mlx', 'kohya', 'gguf', 'peft'] as const) {
      place = (await convert(place, format, base)).output;
      expectSame(await read(place, base), adapter);
    }
    const back = (await readPeftAdapter(place)).adapter;
    expect(new Map(back.modules.map((m) => [m.path, m.r]))).toEqual(
      new Map(adapter.modules.map((m) => [m.path, m.r])),
    );
  }, 60_000);
});

const ARCHES: Readonly<Record<string, string>> = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma: 'gemma',
  phi3: 'phi3',
  olmo2: 'olmo2',
  smollm3: 'smollm3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

it.each(Object.entries(ARCHES))(
  "llama.cpp adds to the tensors of %s what merging adds to the checkpoint's",
  async (family, arch) => {
    const { folder, adapter } = await scaledAdapter(at(family, 'base'));
    const { output } = await convert(folder, 'gguf', at(family, 'base'));
    const [plain, merged] = [
      await asGguf(at(family, 'base'), arch),
      await asGguf(await mergedBase(at(family, 'base'), adapter), arch),
    ];
    const lora = await tensorsOf(output);
    const source = await GgufFile.open(output);
    const alpha = source.header.metadata.get('adapter.lora.alpha') as number;
    expect(source.header.metadata.get('general.architecture')).toBe(arch);
    await source.close();
    let changed = 0;
    for (const { name, shape, data } of plain.tensors) {
      const [a, b] = [lora.get(`${name}.lora_a`), lora.get(`${name}.lora_b`)];
      const want = merged.tensors.find((t) => t.name === name)!.data;
      if (!a || !b) {
        expect(want).toEqual(data);
        continue;
      }
      changed++;
      const [out_features, in_features] = shape as [number, number];
      const dW = update({
        path: name,
        kind: 'linear',
        r: a.shape[0]!,
        in_features,
        out_features,
        scaling: alpha / a.shape[0]!,
        A: a.data,
        B: b.data,
        magnitude: null,
      });
      const sum = data.map((w, i) => w + dW[i]!);
      expect(gap(sum, want)).toBeLessThanOrEqual(2e-6 * Math.max(1, largest(want)));
    }
    expect(changed).toBe(adapter.modules.length);
  },
);

describe('what a format cannot carry', () => {
  const to = (format: Format) => [
    '--to',
    format,
    '--output',
    path.join(tempFolder(), FORMATS[format]),
  ];

  it.each<[string, readonly string[], RegExp]>([
    [
      'DoRA for llama.cpp',
      ['--adapter', at('qwen3/dora/adapter'), '--base', at('qwen3/base'), ...to('gguf')],
      /knows no DoRA.*Merge it into its base/s,
    ],
    [
      'DoRA for kohya',
      ['--adapter', at('qwen3/dora/adapter'), '--base', at('qwen3/base'), ...to('kohya')],
      /knows no DoRA/,
    ],
    [
      'modules_to_save',
      [
        '--adapter',
        at('mistral/modules-to-save-lm-head/adapter'),
        '--base',
        at('mistral/base'),
        ...to('mlx'),
      ],
      /trained whole.*lm_head\.weight/,
    ],
    [
      'biases',
      [
        '--adapter',
        at('gpt_neox/bias-lora-only/adapter'),
        '--base',
        at('gpt_neox/base'),
        ...to('kohya'),
      ],
      /trained whole.*bias/,
    ],
    [
      'an embedding that is the output layer too',
      ['--adapter', at('llama/embed-tied/adapter'), '--base', at('llama/base'), ...to('gguf')],
      /one weight for this base's embedding and output layer.*embed_tokens/,
    ],
    [
      'the same for mlx-lm',
      ['--adapter', at('llama/embed-tied/adapter'), '--base', at('llama/base'), ...to('mlx')],
      /one weight for this base's embedding/,
    ],
    [
      'an embedding without its base',
      ['--adapter', at('llama/embed-tied/adapter'), ...to('mlx')],
      /depends on its base, which is not named/,
    ],
    [
      'an embedding for kohya',
      ['--adapter', at('llama3/embed/adapter'), '--base', at('llama3/base'), ...to('kohya')],
      /adapts no embeddings/,
    ],
    [
      'a convolution for mlx-lm',
      ['--adapter', at('vit/conv2d/adapter'), '--base', at('vit/base'), ...to('mlx')],
      /adapts no convolutions.*no models of the family "vit"/s,
    ],
    [
      'an image model for llama.cpp',
      ['--adapter', at('vit/lora-qv/adapter'), '--base', at('vit/base'), ...to('gguf')],
      /"vit"/,
    ],
  ])('%s is refused, and nothing is written', async (_, args, reason) => {
    expect(await refusal(...args)).toMatch(reason);
    expect(existsSync(args.at(-1)!)).toBe(false);
  });

  it('becomes a merged model with --merge', async () => {
    const { output } = await convert(
      at('qwen3/dora/adapter'),
      'kohya',
      at('qwen3/base'),
      '--merge',
    );
    const folder = output.replace('.safetensors', '');
    expect(existsSync(output)).toBe(false);
    expect(JSON.parse(readFileSync(path.join(folder, 'merge.json'), 'utf8'))).toMatchObject({
      parity: { top1_agreement: 1 },
    });
  });

  it('an untied embedding and an output layer go over', async () => {
    for (const adapter of ['embed', 'lm-head']) {
      const original = (await readPeftAdapter(at('llama3', adapter, 'adapter'))).adapter;
      for (const format of ['mlx', 'gguf'] as const)
        expectSame(
          await read(
            (await convert(at('llama3', adapter, 'adapter'), format, at('llama3/base'))).output,
            at('llama3/base'),
          ),
          original,
        );
    }
  });

  it('DoRA goes to mlx-lm and back', async () => {
    const mlx = await convert(at('qwen3/dora/adapter'), 'mlx', at('qwen3/base'));
    const { output } = await convert(mlx.output, 'peft', at('qwen3/base'));
    const back = (await readPeftAdapter(output)).adapter;
    expect(back.config.use_dora).toBe(true);
    expectSame(back, (await readPeftAdapter(at('qwen3/dora/adapter'))).adapter);
  });

  it('a convolution goes to kohya and back', async () => {
    const kohya = await convert(at('vit/conv2d/adapter'), 'kohya', at('vit/base'));
    expectSame(
      await read(kohya.output, at('vit/base')),
      (await readPeftAdapter(at('vit/conv2d/adapter'))).adapter,
    );
  });
});

describe('odd files', () => {
  it("kohya's without alpha have the scale 1, which is said", async () => {
    const file = path.join(tempFolder(), 'x.safetensors');
    const tensor = (name: string, shape: readonly number[]) => ({
      name,
      dtype: 'F32' as const,
      shape,
      data: new Float32Array(shape[0]! * shape[1]!).fill(0.5),
    });
    await writeSafetensors(file, [
      tensor('lora_te_model_layers_0_self_attn_q_proj.lora_down.weight', [64, 48]),
      tensor('lora_te_model_layers_0_self_attn_q_proj.lora_up.weight', [48, 64]),
      tensor('lora_te_model_layers_1_mlp_down_proj.lora_down.weight', [16, 112]),
      tensor('lora_te_model_layers_1_mlp_down_proj.lora_up.weight', [48, 16]),
    ]);
    const { output, warned } = await convert(file, 'peft', at('llama/base'));
    expect(warned).toMatch(/2 of 2 modules have no alpha.*scale is 1/);
    const { adapter } = await readPeftAdapter(output);
    expect(adapter.modules.map((m) => [m.r, m.scaling])).toEqual([
      [64, 1],
      [16, 1],
    ]);
  });

  it("mlx-lm's of 2024 have alpha beside the scale", async () => {
    const folder = await convert(at('llama/formats/adapter'), 'mlx', null).then(
      ({ output }) => output,
    );
    editJson(path.join(folder, 'adapter_config.json'), {
      lora_parameters: { rank: 4, alpha: 16, scale: 10, dropout: 0 },
    });
    expect((await read(folder, null)).modules[0]!.scaling).toBe(40);
  });

  it.each<[string, (folder: string) => Promise<readonly string[]> | readonly string[], RegExp]>([
    [
      'no such place',
      () => ['--adapter', '/nowhere', '--to', 'mlx', '--output', 'x'],
      /There is no adapter: it does not exist/,
    ],
    [
      'a model for an adapter',
      () => ['--adapter', at('llama/base'), '--to', 'mlx', '--output', 'x'],
      /holds no LoRA tensors/,
    ],
    [
      'the same format',
      () => ['--adapter', at('llama/formats/mlx'), '--to', 'mlx', '--output', 'x'],
      /has this format already/,
    ],
    [
      'a wrong ending',
      () => ['--adapter', at('llama/formats/mlx'), '--to', 'gguf', '--output', 'x'],
      /ends with \.gguf/,
    ],
    [
      'an output that is there',
      (folder) => [
        '--adapter',
        at('llama/formats/mlx'),
        '--to',
        'kohya',
        '--output',
        written(folder, 'a.safetensors'),
      ],
      /The output exists already/,
    ],
    [
      'an unknown format',
      () => ['--adapter', at('llama/formats/mlx'), '--to', 'onnx', '--output', 'x'],
      /--to must be one of/,
    ],
    [
      'another base',
      () => [
        '--adapter',
        at('llama/formats/kohya/adapter.safetensors'),
        '--base',
        at('gpt2/base'),
        '--to',
        'peft',
        '--output',
        'x',
      ],
      /changes model\.layers\.0\.mlp\.down_proj, which the base does not have/,
    ],
    [
      'a llama.cpp model for an adapter',
      async (folder) => {
        const { metadata, tensors } = await asGguf(at('llama/base'), 'llama');
        writeFileSync(path.join(folder, 'model.gguf'), ggufBytes(metadata, tensors));
        return ['--adapter', path.join(folder, 'model.gguf'), '--to', 'peft', '--output', 'x'];
      },
      /no LoRA adapter.*not of a model/s,
    ],
    [
      'weights that were trained whole',
      async (folder) => {
        await writeSafetensors(path.join(folder, 'adapters.safetensors'), []);
        writeFileSync(
          path.join(folder, 'adapter_config.json'),
          JSON.stringify({ fine_tune_type: 'full', lora_parameters: { rank: 1, scale: 1 } }),
        );
        return ['--adapter', folder, '--to', 'peft', '--output', 'x'];
      },
      /trained whole/,
    ],
    [
      'LoKr',
      async (folder) => {
        await writeSafetensors(path.join(folder, 'a.safetensors'), [
          { name: 'lora_unet_x.lokr_w1', dtype: 'F32', shape: [1], data: Float32Array.of(1) },
        ]);
        return ['--adapter', path.join(folder, 'a.safetensors'), '--to', 'peft', '--output', 'x'];
      },
      /LoKr, which is not supported/,
    ],
    [
      "kohya's DoRA",
      async (folder) => {
        await writeSafetensors(
          path.join(folder, 'a.safetensors'),
          ['lora_down.weight', 'lora_up.weight', 'dora_scale'].map((leaf) => ({
            name: `lora_unet_x.${leaf}`,
            dtype: 'F32',
            shape: [1, 1],
            data: Float32Array.of(1),
          })),
        );
        return ['--adapter', folder, '--to', 'peft', '--output', 'x'];
      },
      /DoRA, which is not supported/,
    ],
    [
      'a lora_up alone',
      async (folder) => {
        await writeSafetensors(path.join(folder, 'a.safetensors'), [
          {
            name: 'lora_unet_x.lora_up.weight',
            dtype: 'F32',
            shape: [1, 1],
            data: Float32Array.of(1),
          },
        ]);
        return ['--adapter', folder, '--to', 'peft', '--output', 'x'];
      },
      /partner is missing.*lora_down and lora_up/,
    ],
    [
      'numbers that are none',
      async (folder) => {
        await writeSafetensors(
          path.join(folder, 'a.safetensors'),
          ['lora_down.weight', 'lora_up.weight'].map((leaf) => ({
            name: `lora_unet_x.${leaf}`,
            dtype: 'F32',
            shape: [1, 1],
            data: Float32Array.of(NaN),
          })),
        );
        return ['--adapter', folder, '--to', 'peft', '--output', 'x'];
      },
      /Element 0 is NaN/,
    ],
  ])('%s is refused in words', async (_, make, reason) => {
    const folder = tempFolder();
    const args = (await make(folder)).map((arg) =>
      arg === 'x' ? path.join(tempFolder(), 'x') : arg,
    );
    expect(await refusal(...args)).toMatch(reason);
    expect(existsSync(args.at(-1)!) && !args.at(-1)!.endsWith('.safetensors')).toBe(false);
  });

  it('a Modelfile names base and adapter, and none is overwritten', async () => {
    const file = path.join(tempFolder(), 'Modelfile');
    const { output } = await convert(
      at('llama/formats/adapter'),
      'gguf',
      at('llama/base'),
      '--modelfile',
      file,
    );
    expect(readFileSync(file, 'utf8')).toBe(`FROM ${at('llama/base')}\nADAPTER ${output}\n`);
    expect(
      await refusal(
        '--adapter',
        at('llama/formats/adapter'),
        '--to',
        'gguf',
        '--base',
        at('llama/base'),
        '--output',
        path.join(tempFolder(), 'b.gguf'),
        '--modelfile',
        file,
      ),
    ).toMatch(/may exist already/);
  });
});

function written(folder: string, name: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, '');
  return file;
}
