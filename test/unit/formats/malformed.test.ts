import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeCommand } from '../../../src/engine/commands/merge';
import { LoraError } from '../../../src/shared/errors';

interface Case {
  readonly folder: string;
  readonly kind: 'adapter' | 'base';
  readonly base?: string;
  readonly expect: 'reject' | 'warn' | 'no-hang';
  readonly what: string;
}

const root = path.resolve(import.meta.dirname, '../../fixtures/malformed');
const cases = JSON.parse(readFileSync(path.join(root, 'cases.json'), 'utf8')) as Case[];

const WEIGHTS = 'adapter_model\\.safetensors';
const A = `${WEIGHTS}, tensor base_model\\.model\\.model\\.layers\\.0\\.self_attn\\.q_proj\\.lora_A\\.weight`;
const B = A.replace('lora_A', 'lora_B');
const CONFIG = 'adapter_config\\.json, key ';

/** File, tensor or key, and reason, then what to do. */
const SAID: Readonly<Record<string, RegExp>> = {
  truncated: problem(
    `${WEIGHTS}, tensor .*lora_A\\.weight`,
    'bytes 3584 to 4352 of a file of 3686',
    'copy the file again',
  ),
  'truncated-in-header': problem(
    WEIGHTS,
    'its header claims 1016 bytes, but the file has only 100',
    'again',
  ),
  'empty-file': problem(WEIGHTS, 'it has 0 bytes', 'again'),
  'header-longer-than-file': problem(
    WEIGHTS,
    'its header claims 7144 bytes, but the file has only 6144',
    'again',
  ),
  'header-length-huge': problem(WEIGHTS, 'its header claims 9223372036854775807 bytes', 'again'),
  'header-not-json': problem(WEIGHTS, 'its header is not JSON', 'again'),
  'header-not-object': problem(WEIGHTS, 'its header is not a JSON object', 'again'),
  'header-duplicate-name': problem(
    WEIGHTS,
    'contains the tensor .*q_proj\\.lora_A\\.weight twice',
    'again',
  ),
  'header-proto-name': problem(WEIGHTS, 'a tensor is named __proto__', 'again'),
  'overlapping-offsets': problem(
    WEIGHTS,
    'the tensor .*lora_B\\.weight shares bytes with another',
    'again',
  ),
  'offsets-beyond-end': problem(
    `${WEIGHTS}, tensor .*v_proj\\.lora_B\\.weight`,
    'of a file of 6213',
    'again',
  ),
  'hole-between-tensors': problem(WEIGHTS, 'bytes 5957 to 6021 belong to no tensor', 'again'),
  'shape-not-size': problem(
    A,
    'shape \\[4, 49\\] of F32 needs 784 bytes, its data_offsets span 768',
    'again',
  ),
  'unknown-dtype': problem(A, 'its dtype "F7" is unknown', 'again'),
  'integer-dtype': problem(
    A,
    'Tensors of type I32 cannot be used as weights',
    'Save it again with one of: F32, BF16',
  ),
  'missing-lora-b': problem(
    A,
    'Its partner is missing: model\\.layers\\.0\\.self_attn\\.q_proj needs both',
    'both files',
  ),
  'rank-not-config': problem(A, 'has rank 4, but adapter_config\\.json says r = 8', 'both files'),
  'a-b-ranks-differ': problem(A, 'A has 4 rows, B of .* has 3 columns', 'both files'),
  'shape-not-base': problem(
    WEIGHTS,
    'q_proj is 48 x 64 in the adapter, 48 x 48 in the base',
    'Use the base',
  ),
  'one-dimensional': problem(A, 'must be a matrix, but its shape is \\[192\\]', 'both files'),
  nan: problem(B, 'Element 0 is NaN', 'earlier checkpoint'),
  inf: problem(B, 'Element 0 is Infinity', 'earlier checkpoint'),
  'unknown-target': problem(
    WEIGHTS,
    'changes model\\.layers\\.0\\.self_attn\\.foo_proj, which the base does not have',
    'Use the base',
  ),
  'layer-beyond-base': problem(
    WEIGHTS,
    'changes model\\.layers\\.7\\.self_attn\\.q_proj, which the base does not have',
    'Use the base',
  ),
  'unexpected-tensor': /The tensor is not part of a LoRA adapter and is ignored/,
  'target-not-in-file':
    /target_modules includes .*self_attn\.k_proj.*, but the weights file has no tensors for (?:it|them)/,
  'config-not-json': problem(
    'adapter_config\\.json',
    'is not valid JSON: .*position 29',
    'Correct it',
  ),
  'config-not-object': problem('adapter_config\\.json', 'must hold a JSON object', 'Correct it'),
  'config-missing': problem(
    'config-missing',
    'has no adapter_config\\.json',
    'the folder that PEFT saved',
  ),
  'weights-missing': problem('weights-missing', 'has no adapter_model\\.safetensors', 'again'),
  'weights-pickle': problem(
    'weights-pickle',
    'adapter_model\\.bin, a pickle, which is not read because it can run code',
    'in safetensors',
  ),
  'peft-type-ia3': problem(
    `${CONFIG}peft_type`,
    'is of the type "IA3"',
    'train a LoRA adapter instead',
  ),
  'peft-type-loha': problem(
    `${CONFIG}peft_type`,
    'is of the type "LOHA"',
    'train a LoRA adapter instead',
  ),
  'peft-type-missing': problem(
    `${CONFIG}peft_type`,
    'peft_type is missing',
    'train a LoRA adapter instead',
  ),
  'other-base-name':
    /The adapter was made for fixtures\/another-tiny, but this base is base; the shapes match/,
  'r-zero': problem(`${CONFIG}r`, '"r" must be at least 1, not 0', 'Correct'),
  'r-string': problem(`${CONFIG}r`, '"r" must be a number, not "four"', 'Correct'),
  'alpha-null': problem(
    `${CONFIG}lora_alpha`,
    '"lora_alpha" must be a number, not null',
    'Correct',
  ),
  'bad-regex': problem(
    `${CONFIG}target_modules`,
    'is not a supported regular expression: .*\\(q_proj',
    'list names',
  ),
  'slow-regex': problem(
    `${CONFIG}target_modules`,
    'names none of the modules in the weights file',
    'both files',
  ),
  'base-shard-missing': problem(
    'model-00002-of-00002\\.safetensors',
    'A part of the model is missing',
    'again',
  ),
  'base-index-escapes': problem(
    'model\\.safetensors\\.index\\.json, tensor lm_head\\.weight',
    'names the file "\\.\\./.*", which is not a safetensors file in the model\'s folder',
    'again',
  ),
  'base-index-tensor-absent': problem(
    'model\\.safetensors\\.index\\.json, tensor model\\.layers\\.9\\.mlp\\.up_proj\\.weight',
    'in model-00001-of-00002\\.safetensors, but it is not there',
    'again',
  ),
  'base-config-heads': problem(
    'config\\.json, key num_attention_heads',
    '5 does not divide hidden_size = 16',
    'again',
  ),
  'base-config-unknown-type': problem(
    'config\\.json, key model_type',
    'The architecture "zebra" is not supported. Supported: llama',
    'supported architecture',
  ),
};

function problem(place: string, reason: string, fix: string): RegExp {
  return new RegExp(`${place}: .*(?:${reason})${fix === '' ? '' : `.*\\n.*${fix}`}`, 's');
}

const adapter = path.resolve(root, '../llama/lora-qv/adapter');

/** Runs `lora merge` and returns its output. */
async function use({ folder, kind, base }: Pick<Case, 'folder' | 'kind' | 'base'>): Promise<{
  readonly refused: string | null;
  readonly warned: readonly string[];
  readonly left: readonly string[];
}> {
  const own = path.join(root, folder);
  const parent = mkdtempSync(path.join(tmpdir(), 'lora-malformed-'));
  const warned: string[] = [];
  const args = [
    '--base',
    kind === 'base' ? own : path.resolve(root, base ?? ''),
    '--adapter',
    kind === 'base' ? adapter : own,
    '--output',
    path.join(parent, 'merged'),
    '--no-parity',
  ];
  const refused = await mergeCommand
    .run(args, {
      dist: '',
      version: '',
      json: false,
      signal: new AbortController().signal,
      print: () => undefined,
      warn: (text) => warned.push(text),
      note: () => undefined,
    })
    .then(
      () => null,
      (error: unknown) => {
        if (error instanceof LoraError) return error.describe();
        throw error;
      },
    );
  return { refused, warned, left: readdirSync(parent) };
}

describe('a malformed file', () => {
  it('has an expected message in this file', () =>
    expect(Object.keys(SAID).sort()).toEqual(cases.map((c) => c.folder).sort()));

  it.each(cases.filter((c) => c.expect === 'reject'))(
    'is rejected without writing: $folder, $what',
    async (broken) => {
      const { refused, left } = await use(broken);
      expect(refused).toMatch(SAID[broken.folder]!);
      expect(left).toEqual([]);
    },
  );

  it.each(cases.filter((c) => c.expect === 'warn'))(
    'is used with a warning: $folder, $what',
    async (odd) => {
      const { refused, warned } = await use(odd);
      expect(refused).toBeNull();
      expect(warned.filter((text) => SAID[odd.folder]!.test(text))).toHaveLength(1);
    },
  );

  it.each(cases.filter((c) => c.expect === 'no-hang'))(
    'is handled in bounded time: $folder, $what',
    async (slow) => {
      expect((await use(slow)).refused).toMatch(SAID[slow.folder]!);
    },
    5_000,
  );

  it("the valid originals are used with no warning except about the base's name", async () => {
    const { refused, warned, left } = await use({
      folder: '../llama/lora-qv/adapter',
      kind: 'adapter',
      base: '../llama/base',
    });
    expect([refused, left]).toEqual([null, ['merged']]);
    expect(warned).toEqual([expect.stringMatching(/made for fixtures\/llama-tiny/)]);
    expect((await use({ folder: 'good-base', kind: 'base' })).refused).toMatch(
      /does not fit this base|does not have/,
    );
    expect(existsSync(path.join(root, 'good-base'))).toBe(true);
  });
});
