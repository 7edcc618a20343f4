import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AdapterBase } from '../../../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import { temp } from '../../../support/temp';

const TOGETHER = 'Copy or download both files of the adapter again: they do not belong together.';
const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj'] };
const Q = 'base_model.model.model.q_proj';

type Shapes = Readonly<Record<string, readonly number[]>>;
const PAIR: Shapes = { [`${Q}.lora_A.weight`]: [2, 3], [`${Q}.lora_B.weight`]: [4, 2] };

/** An adapter's folder: changes of the config, and tensors of these shapes, filled with 0.5. */
async function adapter(changes: object, shapes: Shapes): Promise<string> {
  const folder = temp();
  const config = JSON.stringify({ ...CONFIG, ...changes });
  writeFileSync(path.join(folder, 'adapter_config.json'), config);
  const tensors = Object.entries(shapes).map(([name, shape]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
  }));
  await writeSafetensors(path.join(folder, 'adapter_model.safetensors'), tensors);
  return folder;
}

async function expectRefused(
  changes: object,
  shapes: Shapes,
  expected: { message: string; tensor?: string; fix?: string },
): Promise<void> {
  const folder = await adapter(changes, shapes);
  const file = path.join(folder, 'adapter_model.safetensors');
  const { message, tensor, fix } = expected;
  await expect(readPeftAdapter(folder)).rejects.toMatchObject({
    area: 'adapter',
    message,
    ...(fix !== undefined && { fix }),
    place: { file, ...(tensor !== undefined && { tensor }) },
  });
}

describe('the files of an adapter', () => {
  it('are a config and weights in safetensors', async () => {
    const folder = temp();
    const refused = (message: string, fix: string) =>
      expect(readPeftAdapter(folder)).rejects.toMatchObject({
        area: 'adapter',
        message,
        fix,
        place: { file: folder },
      });
    await refused(
      'The folder is not a PEFT adapter: it has no adapter_config.json.',
      'Name the folder that PEFT saved.',
    );
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(CONFIG));
    await refused(
      'The adapter has no adapter_model.safetensors.',
      'Copy or download the folder again.',
    );
    writeFileSync(path.join(folder, 'adapter_model.bin'), '');
    await refused(
      "The adapter's weights exist only as adapter_model.bin, a pickle, which is not read because it can run code.",
      'Save the adapter again in safetensors.',
    );
  });

  it('hold LoRA tensors', async () => {
    await expectRefused({}, {}, { message: 'The file holds no LoRA tensors.' });
  });
});

describe('the factors of a module', () => {
  const [A, B] = [`${Q}.lora_A.weight`, `${Q}.lora_B.weight`];

  it('come in pairs', async () => {
    const message = 'Its partner is missing: model.q_proj needs both lora_A and lora_B.';
    await expectRefused({}, { [A]: [2, 3] }, { message, tensor: A, fix: TOGETHER });
    await expectRefused({}, { [B]: [4, 2] }, { message, tensor: B, fix: TOGETHER });
    const magnitude = `${Q}.lora_magnitude_vector`;
    await expectRefused({}, { [magnitude]: [4] }, { message, tensor: magnitude, fix: TOGETHER });
  });

  it("have the config's rank", async () => {
    await expectRefused(
      {},
      { [A]: [2, 3], [B]: [4, 3] },
      {
        message: 'The ranks of A and B differ: A has 2 rows, B of model.q_proj has 3 columns.',
        tensor: A,
        fix: TOGETHER,
      },
    );
    await expectRefused({ r: 3 }, PAIR, {
      message: 'The tensor has rank 2, but adapter_config.json says r = 3.',
      tensor: A,
      fix: TOGETHER,
    });
    const rank_pattern = { q_proj: 2 };
    const { adapter: read } = await readPeftAdapter(
      await adapter({ r: 3, rank_pattern, alpha_pattern: { q_proj: 10 } }, PAIR),
    );
    expect(read.modules[0]).toMatchObject({ r: 2, scaling: 5, kind: 'linear', magnitude: null });
  });

  it('are matrices, or kernels of a convolution', async () => {
    const kernels = { [A]: [2, 3, 5, 7], [B]: [4, 2, 1, 1] };
    const { adapter: read } = await readPeftAdapter(await adapter({}, kernels));
    expect(read.modules[0]).toMatchObject({
      kind: 'conv2d',
      kernel: [5, 7],
      in_features: 105,
      out_features: 4,
    });
    for (const shape of [
      [4, 2, 2, 1],
      [4, 2, 1, 2],
    ]) {
      await expectRefused(
        {},
        { ...kernels, [B]: shape },
        {
          message: `lora_B of a convolution must have a kernel of 1 x 1, but its shape is [${shape.join(', ')}].`,
          tensor: B,
          fix: TOGETHER,
        },
      );
    }
    await expectRefused(
      {},
      { ...PAIR, [B]: [4, 2, 1] },
      {
        message: 'A factor must be a matrix, but its shape is [4, 2, 1].',
        tensor: B,
        fix: TOGETHER,
      },
    );
    await expectRefused(
      {},
      { ...kernels, [B]: [4, 2] },
      { message: 'A factor must be a matrix, but its shape is [2, 3, 5, 7].', tensor: A },
    );
  });

  it('of an embedding keep its kind', async () => {
    const shapes = { [`${Q}.lora_embedding_A`]: [2, 3], [`${Q}.lora_embedding_B`]: [4, 2] };
    const { adapter: read } = await readPeftAdapter(await adapter({}, shapes));
    expect(read.modules[0]).toMatchObject({ kind: 'embedding', in_features: 3, out_features: 4 });
  });

  it('are stored once', async () => {
    const again = `${Q}.lora_B.other.weight`;
    await expectRefused(
      {},
      { ...PAIR, [again]: [4, 2] },
      {
        message: 'The file holds more than one lora_B for model.q_proj.',
        fix: 'Save one adapter per folder.',
      },
    );
    const mixed = { [A]: [2, 3], [`${Q}.lora_embedding_B`]: [4, 2] };
    await expectRefused({}, mixed, { message: expect.stringContaining('more than one') as string });
  });

  it('have a magnitude with DoRA, and only then', async () => {
    const magnitude = `${Q}.lora_magnitude_vector`;
    const shapes = { ...PAIR, [magnitude]: [4] };
    const { adapter: read } = await readPeftAdapter(await adapter({ use_dora: true }, shapes));
    expect(read.modules[0]!.magnitude).toEqual(new Float32Array(4).fill(0.5));
    await expectRefused({ use_dora: true }, PAIR, {
      message: 'adapter_config.json says use_dora, but model.q_proj has no lora_magnitude_vector.',
      tensor: A,
      fix: TOGETHER,
    });
    await expectRefused({}, shapes, {
      message:
        'model.q_proj has a lora_magnitude_vector, but adapter_config.json does not say use_dora.',
      tensor: magnitude,
      fix: TOGETHER,
    });
    await expectRefused(
      { use_dora: true },
      { ...PAIR, [magnitude]: [1, 3] },
      {
        message: 'The magnitude vector must have 4 elements, but its shape is [1, 3].',
        tensor: magnitude,
        fix: TOGETHER,
      },
    );
  });
});

describe('a tensor that is not a factor', () => {
  const base = (changes: Partial<AdapterBase>): AdapterBase => ({
    names: ['base'],
    modules: [
      { path: 'model.q_proj', kind: 'linear', in_features: 3, out_features: 4, is_output: false },
    ],
    ...changes,
  });
  const read = async (changes: object, name: string, own?: AdapterBase) => {
    const shapes = { ...PAIR, [`base_model.model.${name}`]: [4] };
    const { adapter: result, warnings } = await readPeftAdapter(
      await adapter(changes, shapes),
      own,
    );
    return { trained: result.trained.map((t) => t.name), warnings: warnings.map((w) => w.message) };
  };
  const ignored = ['The tensor is not part of a LoRA adapter and is ignored.'];

  it('is trained when the config or the base says so', async () => {
    const bias = 'model.q_proj.base_layer.bias';
    expect(await read({ bias: 'all' }, bias)).toEqual({
      trained: ['model.q_proj.bias'],
      warnings: [],
    });
    expect(await read({}, bias)).toEqual({ trained: [], warnings: ignored });
    expect(await read({ bias: 'all' }, 'model.norm.weight')).toEqual({
      trained: [],
      warnings: ignored,
    });
    const saved = { modules_to_save: ['score'] };
    expect((await read(saved, 'score.modules_to_save.weight')).trained).toEqual(['score.weight']);
    const heads = base({ heads: ['other', 'score'] });
    expect((await read({}, 'score.weight', heads)).trained).toEqual(['score.weight']);
    expect((await read({}, 'score.dense.weight', heads)).trained).toEqual(['score.dense.weight']);
    expect((await read({}, 'scores.weight', heads)).trained).toEqual([]);
    expect(await read({}, 'x.lora_C.weight')).toEqual({ trained: [], warnings: ignored });
  });

  it('has become part of the base when that was opened with it', async () => {
    const own = base({ replaced: new Set(['embed.weight']) });
    expect(await read({}, 'embed.weight', own)).toEqual({ trained: [], warnings: [] });
    expect((await read({ modules_to_save: ['embed'] }, 'embed.weight', own)).trained).toEqual([
      'embed.weight',
    ]);
  });

  it('is found by the path that the base has', async () => {
    const rename = (own: string) => own.replace('old', 'model');
    const shapes = Object.fromEntries(
      Object.entries(PAIR).map(([name, shape]) => [
        name.replace('model.q_proj', 'old.q_proj'),
        shape,
      ]),
    );
    const folder = await adapter({}, shapes);
    const { adapter: result } = await readPeftAdapter(folder, base({ rename }));
    expect(result.modules.map((m) => m.path)).toEqual(['model.q_proj']);
    expect(result.config.target_modules).toEqual(['model.q_proj']);
    const { adapter: plain } = await readPeftAdapter(await adapter({}, PAIR), base({ rename }));
    expect(plain.config.target_modules).toEqual(['q_proj']);
  });
});

describe('target_modules', () => {
  it('must name a module of the file', async () => {
    const folder = await adapter({ target_modules: ['k_proj'] }, PAIR);
    await expect(readPeftAdapter(folder)).rejects.toMatchObject({
      area: 'adapter',
      message: 'target_modules names none of the modules in the weights file (model.q_proj).',
      fix: TOGETHER,
      place: { file: path.join(folder, 'adapter_config.json'), key: 'target_modules' },
    });
  });

  it('must name all modules of the file where none may be left out, with a base or without', async () => {
    const K = Q.replace('q_proj', 'k_proj');
    const more = { [`${K}.lora_A.weight`]: [2, 3], [`${K}.lora_B.weight`]: [4, 2] };
    const folder = await adapter({}, { ...PAIR, ...more });
    await expect(readPeftAdapter(folder, undefined, { partial: false })).rejects.toMatchObject({
      area: 'adapter',
      message:
        'model.k_proj has tensors in the weights file but is not in target_modules: only 1 of 2 modules would be used.',
    });
    const { adapter: read } = await readPeftAdapter(folder, undefined, { partial: true });
    expect(read.modules).toHaveLength(1);
  });

  it('is warned of in the plural', async () => {
    const [K, V] = [Q.replace('q_proj', 'k_proj'), Q.replace('q_proj', 'v_proj')];
    const more = { [`${K}.lora_A.weight`]: [2, 3], [`${K}.lora_B.weight`]: [4, 2] };
    const others = { [`${V}.lora_A.weight`]: [2, 3], [`${V}.lora_B.weight`]: [4, 2] };
    const folder = await adapter({}, { ...PAIR, ...more, ...others });
    const { warnings } = await readPeftAdapter(folder);
    expect(warnings.map(({ message }) => message)).toEqual([
      'model.k_proj, model.v_proj have tensors in the weights file but are not in target_modules, so they are ignored, as in PEFT.',
    ]);
  });

  it('warns of modules that it does not name', async () => {
    const K = Q.replace('q_proj', 'k_proj');
    const more = { [`${K}.lora_A.weight`]: [2, 3], [`${K}.lora_B.weight`]: [4, 2] };
    const folder = await adapter({}, { ...PAIR, ...more });
    expect((await readPeftAdapter(folder)).warnings).toEqual([
      {
        severity: 'warning',
        message:
          'model.k_proj has tensors in the weights file but is not in target_modules, so it is ignored, as in PEFT.',
        place: { file: path.join(folder, 'adapter_config.json'), key: 'target_modules' },
      },
    ]);
  });
});
