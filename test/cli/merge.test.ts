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
import { cli, startCli, tempFolder, until } from '../support/commandLine';
import {
  cliAnswer,
  cliArgs,
  cliError,
  cliLogits,
  inFixtures,
  lastLine,
  newPath,
} from '../support/cliResults';
import { makeLargeBase } from '../support/largeBase';
import {
  expectParity,
  expectSameLogits,
  expectVerified,
  merge,
  mergeFixture,
  type MergeResult,
} from '../support/merges';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import { smollm2Path } from '../support/realModels';

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
  'dinov2/qv',
  'dinov2-swiglu/mlp',
  'gemma4-moe/experts',
  'gpt_oss/experts',
  'clip/qv',
  'siglip/qv',
  'dora-gpt2/lora',
  'dora-vit/lora',
];

describe.each(CASES)('the merged model of %s', (name) => {
  it("has PEFT's weights, the base's bytes elsewhere, and the logits of base and adapter", async () => {
    const base = inFixtures(name.split('/')[0]!, 'base');
    const dtype = name.startsWith('llama-sharded') ? 'float32' : undefined;
    const merged = await mergeFixture(name, { dtype });
    expect(merged.parity!.top1_agreement).toBe(1);
    expectParity(merged);
    const want = await readFloats(name, 'expected.safetensors');
    const [before, after] = [await openShards(base), await openShards(merged.output)];
    for (const [stored, file] of before.placed) {
      const own = after.placed.get(stored)!;
      const expected = want.get(`merged.${stored}`);
      const isSameType = own.tensors.get(stored)!.dtype === file.tensors.get(stored)!.dtype;
      if (expected) {
        expect(gap(await own.readF32(stored), expected), stored).toBeLessThanOrEqual(
          1e-6 * Math.max(1, largest(expected)),
        );
      } else if (isSameType && !(await isChangedByMerge(name, stored))) {
        expect(await own.readBytes(stored), stored).toEqual(await file.readBytes(stored));
      }
    }
    await Promise.all([before.close(), after.close()]);
    const { inputs } = readJson(name, 'expected.json') as SingleCase;
    if (inputs.input_ids && !want.has('inputs.pixel_values')) {
      const logits = await cliLogits(inputs, { base: merged.output });
      expectSameLogits(logits, want.get('adapter.logits')!, inputs);
    }
  });
});

/** Whether the fixture's adapter changes a tensor of the base. */
async function isChangedByMerge(name: string, stored: string): Promise<boolean> {
  const { merged_changed } = readJson(name, 'expected.json') as { merged_changed?: string[] };
  if (merged_changed) {
    return merged_changed.includes(stored);
  }
  const base = await openBase(inFixtures(name.split('/')[0]!, 'base'));
  const [canonical] = [...canonicalNames([stored], base.spec).keys()];
  await base.close();
  const module = canonical!.replace(/\.(?:weight|bias)$/, '');
  return withSafetensors(inFixtures(name, 'adapter/adapter_model.safetensors'), (source) =>
    Promise.resolve([...source.tensors.keys()].some((tensor) => tensor.includes(module))),
  );
}

describe('a sharded bf16 base', () => {
  const base = newPath('base');
  cpSync(inFixtures('llama-sharded/base'), base, { recursive: true });
  chmodSync(base, 0o755);
  writeFileSync(path.join(base, 'generation_config.json'), '{"eos_token_id": 2}');
  writeFileSync(path.join(base, 'chat_template.jinja'), '{{ messages }}');
  writeFileSync(path.join(base, 'pytorch_model.bin'), 'a pickle');
  const adapter = inFixtures('llama-sharded/bf16-merge/adapter');
  const weightFiles = (folder: string) =>
    readdirSync(folder).filter((name) => name.endsWith('.safetensors'));

  it('keeps its dtypes, shards, index and side files, and equals PEFT to the bit', async () => {
    const { output, tensors } = await merge(base, [adapter]);
    expect(readdirSync(output).sort()).toEqual(
      [...readdirSync(base).filter((name) => name !== 'pytorch_model.bin'), 'merge.json'].sort(),
    );
    const [before, after] = [await openShards(base), await openShards(output)];
    const typesIn = ({ files }: typeof before) =>
      files.map((file) =>
        [...file.tensors.values()].map(({ name, dtype }) => [name, dtype]).sort(),
      );
    expect(typesIn(after)).toEqual(typesIn(before));
    const want = await readFloats('llama-sharded/bf16-merge', 'expected.safetensors');
    const keys = [...want.keys()].filter((key) => key.startsWith('merged_bf16.'));
    expect(keys.length).toBeGreaterThan(1);
    for (const key of keys) {
      const name = key.slice('merged_bf16.'.length);
      expect(await after.placed.get(name)!.readF32(name), key).toEqual(want.get(key));
    }
    await Promise.all([before.close(), after.close()]);
    for (const { delta_norm, rounding_error, unmoved, elements } of tensors) {
      expect(delta_norm).toBeGreaterThan(0);
      expect(rounding_error).toBeGreaterThan(0);
      expect(unmoved).toBeLessThan(elements);
    }
    const generation = readFileSync(path.join(output, 'generation_config.json'), 'utf8');
    expect(generation).toBe('{"eos_token_id": 2}');
  });

  it('is split by --max-shard-size, or becomes a single file', async () => {
    const small = await merge(base, [adapter], { 'max-shard-size': '20KB', 'no-parity': true });
    const count = weightFiles(small.output).length;
    expect(count).toBeGreaterThan(2);
    expect(weightFiles(small.output)).toContain(
      `model-00001-of-${String(count).padStart(5, '0')}.safetensors`,
    );
    const one = await merge(base, [adapter], { 'max-shard-size': '1GB', 'no-parity': true });
    expect(readdirSync(one.output).filter((name) => /safetensors/.test(name))).toEqual([
      'model.safetensors',
    ]);
    for (const { output } of [small, one]) {
      await (await openBase(output)).close();
    }
  });

  it('warns about updates that are too small for bf16; float32 keeps them', async () => {
    const options = { scale: 0.0001, 'no-parity': true };
    const tiny = await merge(base, [adapter], options);
    expect(tiny.warnings).toEqual([
      expect.stringMatching(/% of the elements .* are the same after rounding.*--dtype float32/),
    ]);
    const kept = await merge(base, [adapter], { ...options, dtype: 'float32' });
    expect(kept.warnings).toEqual([]);
    const configOf = (folder: string) =>
      JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as object;
    const key = 'torch_dtype' in configOf(base) ? 'torch_dtype' : 'dtype';
    expect(configOf(kept.output)).toMatchObject({ [key]: 'float32' });
  });

  it('can be verified against its certificate', async () => {
    const { output } = await merge(base, [adapter], { 'no-parity': true });
    await expectVerified(output);
    const shard = path.join(output, weightFiles(output)[0]!);
    const bytes = readFileSync(shard);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(shard, bytes);
    const { code, stdout } = await cli('merge', '--verify', output);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/changed .*safetensors/)]);
    expect(await cliError('merge', { verify: base })).toMatch(/not a merged model/);
  });
});

describe('several adapters', () => {
  const llama = inFixtures('llama/base');
  const a = inFixtures('llama/pair/adapter_a');
  const b = inFixtures('llama/pair/adapter_b');

  it('are added up, which equals stacking them', async () => {
    expectParity(await merge(llama, [a, b]));
  });

  it('are scaled together, unless a tensor is fully trained', async () => {
    expectParity(await merge(llama, [a], { scale: 0.5 }));
    const message = await cliError('merge', {
      base: inFixtures('mistral/base'),
      adapter: inFixtures('mistral/modules-to-save-lm-head/adapter'),
      scale: 2,
      output: newPath('merged'),
    });
    expect(message).toMatch(/Only LoRA updates can be scaled/);
  });

  it('are refused if one of them is DoRA', async () => {
    const message = await cliError('merge', {
      base: inFixtures('qwen3/base'),
      adapter: [inFixtures('qwen3/regex/adapter'), inFixtures('qwen3/dora/adapter')],
      output: newPath('merged'),
    });
    expect(message).toMatch(/DoRA adapter.*can only be merged alone/);
  });
});

describe('the output', () => {
  const base = newPath('base');
  cpSync(inFixtures('llama/base'), base, { recursive: true });
  chmodSync(base, 0o755);
  const adapter = inFixtures('llama/lora-qv/adapter');

  it('must not overlap with an input, not even through a link, nor exist', async () => {
    const link = newPath('link');
    symlinkSync(base, link);
    const overlapping = [
      base,
      path.join(base, 'merged'),
      path.join(link, 'merged'),
      path.dirname(base),
    ];
    for (const output of overlapping) {
      expect(await cliError('merge', { base, adapter, output })).toMatch(
        /must not be inside an input or contain it/,
      );
    }
    const taken = tempFolder();
    writeFileSync(path.join(taken, 'x'), '');
    expect(await cliError('merge', { base, adapter, output: taken })).toMatch(
      /The output exists already/,
    );
    expect(readdirSync(taken)).toEqual(['x']);
  });

  it('needs enough disk space, which is checked before the first byte is written', async () => {
    await expect(checkDiskSpace(newPath('a/b'), 1e18)).rejects.toThrow(/needs 1000000000\.0 GB/);
  });

  it('does not exist after an interruption, and the next merge removes what a kill left', async () => {
    const large = await makeLargeBase(tempFolder(), 400e6);
    const output = newPath('merged');
    const args = ['merge', ...cliArgs({ ...large, output, 'no-parity': true }), '--json'];
    const filesBeside = () => readdirSync(path.dirname(output));

    const { child, end } = startCli(args);
    await until(() => filesBeside().length > 0, 'the first byte');
    child.kill('SIGINT');
    const { stderr, code } = await end;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/cancelled/);
    expect(filesBeside()).toEqual([]);

    const killed = startCli(args);
    await until(() => filesBeside().length > 0, 'the first byte');
    killed.child.kill('SIGKILL');
    await killed.end;
    expect(existsSync(output)).toBe(false);

    const { stdout } = await cli(...args);
    expect(filesBeside()).toEqual(['merged']);
    // The base has 400 MB and tensors of 32 MB: two tensors and 300 MB must be enough.
    const { memory } = lastLine(stdout) as MergeResult;
    expect(memory).toBeLessThan(2 * 32e6 + 300e6);
  });

  it('of a GGUF base is a folder with its tokenizer', async () => {
    const gguf = await smollm2Path();
    const smollm2Adapter = inFixtures('real/smollm2/adapter');
    const { output, tensors } = await merge(gguf, [smollm2Adapter], { 'no-parity': true });
    expect(tensors).toHaveLength(120);
    expect(JSON.parse(readFileSync(path.join(output, 'generation_config.json'), 'utf8'))).toEqual({
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 2,
    });
    expect(await cliAnswer({ base: output })).toBe(
      await cliAnswer({ base: gguf, adapter: smollm2Adapter }),
    );
  });
});
