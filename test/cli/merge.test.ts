import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { canonicalNames } from '../../src/formats/architecture/names';
import { openBase } from '../../src/formats/openBase';
import { openShards } from '../../src/formats/huggingface';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { checkDiskSpace } from '../../src/engine/outputPath';
import { GgufFile } from '../../src/formats/gguf/read';
import { mergedBase, scaledAdapter } from '../support/adapters';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import { smollm2Path } from '../support/realModels';
import { makeLargeBase } from '../support/largeBase';
import { cli, fixtures, startCli, tempFolder, until } from '../support/commandLine';

interface Result {
  readonly output: string;
  readonly untied: boolean;
  readonly tensors: readonly {
    readonly name: string;
    readonly delta_norm: number;
    readonly unmoved: number;
    readonly elements: number;
    readonly rounding_error: number;
  }[];
  readonly parity: {
    readonly largest_gap: number;
    readonly largest_logit: number;
    readonly top1_agreement: number;
  } | null;
  readonly warnings: readonly string[];
  readonly memory: number;
}

const newFolder = () => path.join(tempFolder(), 'merged');

async function merged(
  base: string,
  adapters: readonly string[],
  ...options: readonly string[]
): Promise<Result> {
  const { code, stdout, stderr } = await cli(
    'merge',
    '--base',
    base,
    ...adapters.flatMap((own) => ['--adapter', own]),
    '--output',
    newFolder(),
    '--json',
    ...options,
  );
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result;
}

async function refusal(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await cli('merge', ...args);
  expect(code).not.toBe(0);
  return stderr;
}

const CASES = [
  'llama/lora-qv',
  'llama/embed-tied',
  'llama3/embed',
  'llama3/lm-head',
  'llama3/rslora',
  'llama-sharded/bf16-adapter',
  'mistral/modules-to-save-lm-head',
  'qwen2/rank-alpha-pattern',
  'qwen3/dora',
  'gemma/lora-linear',
  'gpt2/fan-in-fan-out',
  'gpt_neox/bias-lora-only',
  'phi3/fused-linear',
  'bert/seq-cls',
  'vit/conv2d',
  'vit/lora-qv',
  'dora-gpt2/lora',
  'dora-vit/lora',
];

describe.each(CASES)('the merged model of %s', (name) => {
  it("holds PEFT's numbers, the base's bytes elsewhere, and answers as base and adapter do", async () => {
    const base = path.join(fixtures, name.split('/')[0]!, 'base');
    const { output, parity } = await merged(
      base,
      [path.join(fixtures, name, 'adapter')],
      ...(name.startsWith('llama-sharded') ? ['--dtype', 'float32'] : []),
    );
    expect(parity!.top1_agreement).toBe(1);
    expect(parity!.largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, parity!.largest_logit));
    const want = await readFloats(name, 'expected.safetensors');
    const opened = await openBase(base);
    const [before, after] = [await openShards(base), await openShards(output)];
    for (const [stored, file] of before.placed) {
      const own = after.placed.get(stored)!;
      const expected = want.get(`merged.${stored}`);
      if (expected)
        expect(gap(await own.readF32(stored), expected), stored).toBeLessThanOrEqual(
          1e-6 * Math.max(1, largest(expected)),
        );
      else if (
        !(await changedBy(name, stored)) &&
        own.tensors.get(stored)!.dtype === file.tensors.get(stored)!.dtype
      )
        expect(await own.readBytes(stored), stored).toEqual(await file.readBytes(stored));
    }
    await Promise.all([opened.close(), before.close(), after.close()]);
    const { inputs } = readJson<SingleCase>(name, 'expected.json');
    if (!inputs.input_ids) return;
    const [input, logits] = [
      path.join(tempFolder(), 'in.json'),
      path.join(tempFolder(), 'out.safetensors'),
    ];
    writeFileSync(input, JSON.stringify(inputs));
    expect(
      (await cli('logits', '--base', output, '--input', input, '--output', logits)).stderr,
    ).toBe('');
    const adapted = want.get('adapter.logits')!;
    await withSafetensors(logits, async (source) =>
      expect(
        gap(visible(await source.readF32('logits'), inputs), visible(adapted, inputs)),
      ).toBeLessThanOrEqual(1e-4 * Math.max(1, largest(adapted))),
    );
  });
});

/** Where the mask is 1. */
const visible = (values: Float32Array, { input_ids, attention_mask }: SingleCase['inputs']) =>
  values.filter(
    (_, i) =>
      attention_mask?.flat()[Math.floor(i / (values.length / input_ids!.flat().length))] !== 0,
  );

/** Whether the case says that a merge changes a tensor. */
async function changedBy(name: string, stored: string): Promise<boolean> {
  const { merged_changed } = readJson<{ merged_changed?: string[] }>(name, 'expected.json');
  if (merged_changed) return merged_changed.includes(stored);
  const base = await openBase(path.join(fixtures, name.split('/')[0]!, 'base'));
  const [own] = [...canonicalNames([stored], base.spec).keys()];
  await base.close();
  return withSafetensors(path.join(fixtures, name, 'adapter/adapter_model.safetensors'), (source) =>
    Promise.resolve(
      [...source.tensors.keys()].some((tensor) =>
        tensor.includes(own!.replace(/\.(?:weight|bias)$/, '')),
      ),
    ),
  );
}

describe('a sharded bf16 base', () => {
  const base = path.join(tempFolder(), 'base');
  cpSync(path.join(fixtures, 'llama-sharded/base'), base, { recursive: true });
  chmodSync(base, 0o755);
  writeFileSync(path.join(base, 'generation_config.json'), '{"eos_token_id": 2}');
  writeFileSync(path.join(base, 'chat_template.jinja'), '{{ messages }}');
  writeFileSync(path.join(base, 'pytorch_model.bin'), 'a pickle');
  const adapter = path.join(fixtures, 'llama-sharded/bf16-merge/adapter');

  it("keeps dtypes, shards, index and small files, and gives PEFT's bits", async () => {
    const { output, tensors } = await merged(base, [adapter]);
    expect(readdirSync(output).sort()).toEqual(
      [...readdirSync(base).filter((name) => name !== 'pytorch_model.bin'), 'merge.json'].sort(),
    );
    const [before, after] = [await openShards(base), await openShards(output)];
    expect(
      after.files.map((file) =>
        [...file.tensors.values()].map(({ name, dtype }) => [name, dtype]).sort(),
      ),
    ).toEqual(
      before.files.map((file) =>
        [...file.tensors.values()].map(({ name, dtype }) => [name, dtype]).sort(),
      ),
    );
    const want = await readFloats('llama-sharded/bf16-merge', 'expected.safetensors');
    const names = [...want.keys()].filter((key) => key.startsWith('merged_bf16.'));
    for (const key of names)
      expect(
        await after.placed
          .get(key.slice('merged_bf16.'.length))!
          .readF32(key.slice('merged_bf16.'.length)),
        key,
      ).toEqual(want.get(key));
    await Promise.all([before.close(), after.close()]);
    expect(names.length).toBeGreaterThan(1);
    expect(
      tensors.every((t) => t.delta_norm > 0 && t.rounding_error > 0 && t.unmoved < t.elements),
    ).toBe(true);
    expect(readFileSync(path.join(output, 'generation_config.json'), 'utf8')).toBe(
      '{"eos_token_id": 2}',
    );
  });

  it('is cut into shards of the size that is asked for, and into one file', async () => {
    const total = (folder: string) =>
      readdirSync(folder).filter((name) => name.endsWith('.safetensors')).length;
    const small = await merged(base, [adapter], '--max-shard-size', '20KB', '--no-parity');
    expect(total(small.output)).toBeGreaterThan(2);
    expect(readdirSync(small.output)).toContain(
      `model-00001-of-${String(total(small.output)).padStart(5, '0')}.safetensors`,
    );
    const one = await merged(base, [adapter], '--max-shard-size', '1GB', '--no-parity');
    expect(readdirSync(one.output).filter((name) => /safetensors/.test(name))).toEqual([
      'model.safetensors',
    ]);
    for (const { output } of [small, one]) await (await openBase(output)).close();
  });

  it('tells what bf16 swallows, and that float32 keeps it', async () => {
    const tiny = await merged(base, [adapter], '--scale', '0.0001', '--no-parity');
    expect(tiny.warnings).toEqual([
      expect.stringMatching(/% of the elements .* are the same after rounding.*--dtype float32/),
    ]);
    const kept = await merged(
      base,
      [adapter],
      '--scale',
      '0.0001',
      '--dtype',
      'float32',
      '--no-parity',
    );
    expect(kept.warnings).toEqual([]);
    expect(JSON.parse(readFileSync(path.join(kept.output, 'config.json'), 'utf8'))).toMatchObject({
      [existsSync(path.join(base, 'config.json')) &&
      'torch_dtype' in (JSON.parse(readFileSync(path.join(base, 'config.json'), 'utf8')) as object)
        ? 'torch_dtype'
        : 'dtype']: 'float32',
    });
  });

  it('is verified by its certificate, later too', async () => {
    const { output } = await merged(base, [adapter], '--no-parity');
    expect((await cli('merge', '--verify', output)).code).toBe(0);
    const shard = path.join(
      output,
      readdirSync(output).find((name) => name.endsWith('.safetensors'))!,
    );
    const bytes = readFileSync(shard);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(shard, bytes);
    const { code, stdout } = await cli('merge', '--verify', output);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/changed .*safetensors/)]);
    expect((await cli('merge', '--verify', base)).stderr).toMatch(/not a merged model/);
  });
});

describe('several adapters', () => {
  const llama = path.join(fixtures, 'llama/base');
  const [a, b] = ['adapter_a', 'adapter_b'].map((name) =>
    path.join(fixtures, 'llama/pair', name),
  ) as [string, string];

  it('are added up, as they answer on top of each other', async () => {
    const { parity } = await merged(llama, [a, b]);
    expect(parity!.largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, parity!.largest_logit));
  });

  it('are scaled together, but not what was trained whole', async () => {
    const { parity } = await merged(llama, [a], '--scale', '0.5');
    expect(parity!.largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, parity!.largest_logit));
    expect(
      await refusal(
        '--base',
        path.join(fixtures, 'mistral/base'),
        '--adapter',
        path.join(fixtures, 'mistral/modules-to-save-lm-head/adapter'),
        '--scale',
        '2',
        '--output',
        newFolder(),
      ),
    ).toMatch(/Only LoRA updates can be scaled/);
  });

  it('of which one is DoRA are refused', async () => {
    const qwen3 = path.join(fixtures, 'qwen3');
    expect(
      await refusal(
        '--base',
        path.join(qwen3, 'base'),
        '--adapter',
        path.join(qwen3, 'regex/adapter'),
        '--adapter',
        path.join(qwen3, 'dora/adapter'),
        '--output',
        newFolder(),
      ),
    ).toMatch(/DoRA adapter.*can only be merged alone/);
  });
});

describe('the output', () => {
  const base = path.join(tempFolder(), 'base');
  cpSync(path.join(fixtures, 'llama/base'), base, { recursive: true });
  chmodSync(base, 0o755);
  const adapter = path.join(fixtures, 'llama/lora-qv/adapter');

  it('never lies in an input, also through a link, nor where something is', async () => {
    const link = path.join(tempFolder(), 'link');
    symlinkSync(base, link);
    for (const output of [
      base,
      path.join(base, 'merged'),
      path.join(link, 'merged'),
      path.dirname(base),
    ])
      expect(await refusal('--base', base, '--adapter', adapter, '--output', output)).toMatch(
        /must not be inside an input or contain it/,
      );
    const taken = tempFolder();
    writeFileSync(path.join(taken, 'x'), '');
    expect(await refusal('--base', base, '--adapter', adapter, '--output', taken)).toMatch(
      /The output exists already/,
    );
    expect(readdirSync(taken)).toEqual(['x']);
  });

  it('needs room, which is looked for before the first byte', async () => {
    await expect(checkDiskSpace(path.join(tempFolder(), 'a/b'), 1e18)).rejects.toThrow(
      /needs 1000000000\.0 GB/,
    );
  });

  it('of a merge that was interrupted is not there, and what a killed one left is cleared by the next', async () => {
    const large = await makeLargeBase(tempFolder(), 400e6);
    const output = newFolder();
    const { child, end } = startCli([
      'merge',
      '--base',
      large.base,
      '--adapter',
      large.adapter,
      '--output',
      output,
      '--no-parity',
      '--json',
    ]);
    await until(() => readdirSync(path.dirname(output)).length > 0, 'the first byte');
    child.kill('SIGINT');
    const { stderr, code } = await end;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/cancelled/);
    expect(readdirSync(path.dirname(output))).toEqual([]);
    const again = startCli([
      'merge',
      '--base',
      large.base,
      '--adapter',
      large.adapter,
      '--output',
      output,
      '--no-parity',
    ]);
    await until(() => readdirSync(path.dirname(output)).length > 0, 'the first byte');
    again.child.kill('SIGKILL');
    await again.end;
    expect(existsSync(output)).toBe(false);
    const { stdout } = await cli(
      'merge',
      '--base',
      large.base,
      '--adapter',
      large.adapter,
      '--output',
      output,
      '--no-parity',
      '--json',
    );
    expect(readdirSync(path.dirname(output))).toEqual(['merged']);
    // Of a model of 400 MB with tensors of 32 MB no more than twice the largest and 300 MB are in
    // memory.
    expect((JSON.parse(stdout.trim().split('\n').at(-1)!) as Result).memory).toBeLessThan(
      2 * 32e6 + 300e6,
    );
  });

  it('of a GGUF base is a folder with its tokenizer', async () => {
    const { output, tensors } = await merged(
      await smollm2Path(),
      [path.join(fixtures, 'real/smollm2/adapter')],
      '--no-parity',
    );
    expect(tensors).toHaveLength(120);
    const { stdout } = await cli(
      'generate',
      '--base',
      output,
      '--chat',
      '--prompt',
      'What is 2 + 2?',
      '--max-new-tokens',
      '8',
      '--json',
    );
    expect(JSON.parse(readFileSync(path.join(output, 'generation_config.json'), 'utf8'))).toEqual({
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 2,
    });
    const { stdout: adapted } = await cli(
      'generate',
      '--base',
      await smollm2Path(),
      '--adapter',
      path.join(fixtures, 'real/smollm2/adapter'),
      '--chat',
      '--prompt',
      'What is 2 + 2?',
      '--max-new-tokens',
      '8',
      '--json',
    );
    expect(JSON.parse(stdout)).toEqual(JSON.parse(adapted));
  });
});

const ARCHES: Readonly<Record<string, string>> = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma: 'gemma',
  gemma2: 'gemma2',
  gemma3_text: 'gemma3',
  phi3: 'phi3',
  olmo2: 'olmo2',
  smollm3: 'smollm3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

describe('a .gguf file', () => {
  const newFile = () => path.join(tempFolder(), 'merged.gguf');
  const mergedFile = async (base: string, adapter: string, ...options: readonly string[]) => {
    const output = newFile();
    const { code, stdout, stderr } = await cli(
      'merge',
      '--base',
      base,
      '--adapter',
      adapter,
      '--output',
      output,
      '--json',
      ...options,
    );
    expect([code, stderr]).toEqual([0, '']);
    return { ...(JSON.parse(stdout.trim().split('\n').at(-1)!) as Result), output };
  };
  const plain = async (family: string) => {
    const file = path.join(tempFolder(), 'base.gguf');
    const { metadata, tensors } = await asGguf(
      path.join(fixtures, family, 'base'),
      ARCHES[family]!,
    );
    writeFileSync(file, ggufBytes(metadata, tensors));
    return file;
  };

  it.each(Object.entries(ARCHES))(
    "of %s holds what llama.cpp's converter makes of the merged checkpoint, and the base's metadata",
    async (family, arch) => {
      const base = await plain(family);
      const { folder, adapter } = await scaledAdapter(path.join(fixtures, family, 'base'));
      const { output, parity } = await mergedFile(base, folder);
      expect(parity!.top1_agreement).toBe(1);
      expect(parity!.largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, parity!.largest_logit));
      const want = await asGguf(
        await mergedBase(path.join(fixtures, family, 'base'), adapter),
        arch,
      );
      const [before, after] = [await GgufFile.open(base), await GgufFile.open(output)];
      expect(after.header.metadata).toEqual(before.header.metadata);
      expect([...after.header.tensors.keys()]).toEqual([...before.header.tensors.keys()]);
      for (const { name, data } of want.tensors)
        expect(
          gap(await after.readF32(after.header.tensors.get(name)!), data),
          name,
        ).toBeLessThanOrEqual(1e-6 * Math.max(1, largest(data)));
      await Promise.all([before.close(), after.close()]);
      expect((await cli('merge', '--verify', output)).code).toBe(0);
      expect(readdirSync(path.dirname(output)).sort()).toEqual([
        'merged.gguf',
        'merged.gguf.merge.json',
      ]);
    },
  );

  it.each([
    ['llama/embed-tied', 'llama'],
    ['qwen3/dora', 'qwen3'],
    ['gpt_neox/bias-lora-only', 'gpt_neox'],
  ])('of %s holds an output layer of its own, DoRA, biases', async (name, family) => {
    const { output, untied, parity } = await mergedFile(
      await plain(family),
      path.join(fixtures, name, 'adapter'),
    );
    expect(untied).toBe(name === 'llama/embed-tied');
    expect(parity!.largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, parity!.largest_logit));
    const { inputs } = readJson<SingleCase>(name, 'expected.json');
    const [input, logits] = [
      path.join(tempFolder(), 'in.json'),
      path.join(tempFolder(), 'out.safetensors'),
    ];
    writeFileSync(input, JSON.stringify(inputs));
    expect(
      (await cli('logits', '--base', output, '--input', input, '--output', logits)).stderr,
    ).toBe('');
    const adapted = (await readFloats(name, 'expected.safetensors')).get('adapter.logits')!;
    await withSafetensors(logits, async (source) =>
      expect(
        gap(visible(await source.readF32('logits'), inputs), visible(adapted, inputs)),
      ).toBeLessThanOrEqual(1e-4 * Math.max(1, largest(adapted))),
    );
  });

  it('of a quantised base keeps the bytes of what does not change; the type is chosen', async () => {
    const [base, adapter] = [await smollm2Path(), path.join(fixtures, 'real/smollm2/adapter')];
    const before = await GgufFile.open(base);
    const fine = await mergedFile(base, adapter);
    const after = await GgufFile.open(fine.output);
    const bytes = (file: GgufFile, name: string) => {
      const { start, end } = file.header.tensors.get(name)!;
      return file.readBytes(start, end - start, name);
    };
    for (const name of ['token_embd.weight', 'blk.0.ffn_up.weight', 'blk.7.attn_norm.weight'])
      expect(Buffer.compare(await bytes(after, name), await bytes(before, name)), name).toBe(0);
    expect(after.header.tensors.get('blk.0.attn_q.weight')!.dtype).toBe('F16');
    expect(after.header.metadata.get('general.file_type')).toBe(1);
    expect(fine.parity!.top1_agreement).toBeGreaterThan(0.98);
    const small = await mergedFile(base, adapter, '--dtype', 'q8_0', '--no-parity');
    const quantised = await GgufFile.open(small.output);
    expect(
      Buffer.compare(
        await bytes(quantised, 'token_embd.weight'),
        await bytes(before, 'token_embd.weight'),
      ),
    ).toBe(0); // is q8_0 already
    for (const name of ['blk.0.attn_q.weight', 'blk.3.ffn_down.weight']) {
      const [tensor, close] = [
        quantised.header.tensors.get(name)!,
        after.header.tensors.get(name)!,
      ];
      expect(tensor.dtype).toBe('Q8_0');
      const want = await after.readF32(close);
      expect(gap(await quantised.readF32(tensor), want)).toBeLessThanOrEqual(
        (1.01 * largest(want)) / 254,
      );
    }
    await Promise.all([before.close(), after.close(), quantised.close()]);
    expect((await cli('merge', '--verify', small.output)).code).toBe(0);
    const { stdout } = await cli(
      'generate',
      '--base',
      small.output,
      '--chat',
      '--prompt',
      'What is 2 + 2?',
      '--max-new-tokens',
      '8',
      '--json',
    );
    const { stdout: adapted } = await cli(
      'generate',
      '--base',
      base,
      '--adapter',
      adapter,
      '--chat',
      '--prompt',
      'What is 2 + 2?',
      '--max-new-tokens',
      '8',
      '--json',
    );
    expect(JSON.parse(stdout)).toEqual(JSON.parse(adapted));
  }, 120_000);

  it.each<[string, readonly string[], RegExp]>([
    [
      'of a folder',
      [
        '--base',
        path.join(fixtures, 'llama/base'),
        '--adapter',
        path.join(fixtures, 'llama/lora-qv/adapter'),
        '--output',
        newFile(),
      ],
      /only be made from a \.gguf base.*convert_hf_to_gguf/s,
    ],
    [
      'q8_0 in a folder',
      [
        '--base',
        path.join(fixtures, 'llama/base'),
        '--adapter',
        path.join(fixtures, 'llama/lora-qv/adapter'),
        '--output',
        newFolder(),
        '--dtype',
        'q8_0',
      ],
      /cannot hold q8_0 weights/,
    ],
  ])('%s is refused', async (_, args, reason) => {
    expect(await refusal(...args)).toMatch(reason);
    expect(existsSync(args[5]!)).toBe(false);
  });
});
