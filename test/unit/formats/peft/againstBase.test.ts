import { describe, expect, it } from 'vitest';
import {
  checkAgainstBase,
  namesInShort,
  type AdapterBase,
} from '../../../../src/formats/peft/againstBase';
import type { Adapter, LoraFactors, TargetableModule } from '../../../../src/lora/adapter';
import type { LoraError } from '../../../../src/shared/errors';

const FILES = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' };
const FIX = 'Use the base that the adapter was trained on.';
const QUERIES: TargetableModule = {
  path: 'model.q_proj',
  kind: 'linear',
  in_features: 3,
  out_features: 4,
  is_output: false,
};
const BASE: AdapterBase = {
  modules: [QUERIES],
  names: ['owner/tiny', '/models/tiny'],
  shapes: new Map([['score.weight', [2, 3]]]),
};

function adapterOf(
  module: Partial<LoraFactors> = {},
  config: Partial<Adapter['config']> = {},
  trained: Adapter['trained'] = [],
): Adapter {
  return {
    modules: [{ ...QUERIES, ...module } as LoraFactors],
    config: {
      target_modules: ['q_proj'],
      base_model_name_or_path: 'owner/tiny',
      exclude_modules: null,
      layers_to_transform: null,
      rank_pattern: {},
      alpha_pattern: {},
      modules_to_save: null,
      raw: {},
      ...config,
    } as Adapter['config'],
    trained,
  };
}

function expectRefused(adapter: Adapter, message: string, tensor?: string): void {
  expect(() => checkAgainstBase(adapter, BASE, FILES)).toThrow(
    expect.objectContaining<Partial<LoraError>>({
      area: 'adapter',
      message,
      fix: FIX,
      place: { file: FILES.weights, ...(tensor !== undefined && { tensor }) },
    }),
  );
}

describe('a module of an adapter', () => {
  it('must be one of the base, of the same kind and size', () => {
    expect(checkAgainstBase(adapterOf(), BASE, FILES)).toEqual([]);
    expectRefused(
      adapterOf({ path: 'model.k_proj' }),
      'The adapter changes model.k_proj, which the base does not have.',
    );
    expectRefused(
      adapterOf({ kind: 'embedding' }),
      'The adapter treats model.q_proj as "embedding", but it is "linear" in the base.',
    );
    expectRefused(
      adapterOf({ in_features: 5 }),
      'The adapter does not fit this base: model.q_proj is 4 x 5 in the adapter, 4 x 3 in the base.',
    );
    expectRefused(
      adapterOf({ out_features: 5 }),
      'The adapter does not fit this base: model.q_proj is 5 x 3 in the adapter, 4 x 3 in the base.',
    );
  });
});

describe('a fully trained tensor', () => {
  const withTensor = (name: string, shape: readonly number[]) =>
    adapterOf({}, {}, [{ name, shape, data: new Float32Array(6) }]);

  it('must be one of the base, of the same shape', () => {
    expect(checkAgainstBase(withTensor('score.weight', [2, 3]), BASE, FILES)).toEqual([]);
    expectRefused(
      withTensor('score.weight', [3, 2]),
      "The adapter's score.weight has the shape [3, 2], the base's [2, 3].",
      'score.weight',
    );
    expectRefused(
      withTensor('other.weight', [2, 3]),
      'The adapter replaces other.weight, which the base does not have.',
      'other.weight',
    );
  });

  it('is not checked when the shapes of the base are not known', () => {
    const { modules, names } = BASE;
    expect(checkAgainstBase(withTensor('x.weight', [1]), { modules, names }, FILES)).toEqual([]);
  });
});

describe('a warning', () => {
  const messagesOf = (adapter: Adapter, base: Partial<AdapterBase>) =>
    checkAgainstBase(adapter, { ...BASE, ...base }, FILES);

  it('names the targets that the weights file lacks', () => {
    const more = ['k_proj', 'v_proj', 'o_proj', 'up_proj'].map((name) => ({
      ...QUERIES,
      path: `model.${name}`,
    }));
    const target_modules = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'up_proj'];
    const place = { file: FILES.config, key: 'target_modules' };
    expect(messagesOf(adapterOf({}, { target_modules }), { modules: [QUERIES, ...more] })).toEqual([
      {
        severity: 'warning',
        message:
          'target_modules includes model.k_proj, model.v_proj, model.o_proj and 1 more, but the weights file has no tensors for them: their updates are zero, as in PEFT.',
        place,
      },
    ]);
    expect(namesInShort(['a', 'b', 'c'])).toBe('a, b, c');
    expect(namesInShort(['a', 'b', 'c', 'd', 'e'])).toBe('a, b, c and 2 more');
  });

  it('says where PEFT gives a module without tensors other numbers than zero', () => {
    const keys = { ...QUERIES, path: 'model.k_proj' };
    const config = { target_modules: ['q_proj', 'k_proj'], raw: { init_lora_weights: false } };
    expect(messagesOf(adapterOf({}, config), { modules: [QUERIES, keys] })[0]!.message).toBe(
      'target_modules includes model.k_proj, but the weights file has no tensors for it: its update is zero, where PEFT leaves random numbers (init_lora_weights is false).',
    );
  });

  describe('of settings that match nothing', () => {
    const paths = ['model', 'model.q_proj', 'model.norm', 'score'];
    const config: Partial<Adapter['config']> = {
      target_modules: ['q_proj', 'q_prj'],
      exclude_modules: ['vision_tower'],
      layers_to_transform: [4],
      rank_pattern: { k_proj: 2 },
      modules_to_save: ['norm', 'classifier', 'score'],
    };
    const keysOf = (base: Partial<AdapterBase>) =>
      messagesOf(adapterOf({}, config), base).map(({ place }) => place!.key);

    it('names each where the base is known', () => {
      expect(keysOf({})).toEqual([]);
      expect(keysOf({ paths })).toEqual([
        'target_modules',
        'exclude_modules',
        'layers_to_transform',
        'rank_pattern',
        'modules_to_save',
      ]);
    });

    it('leaves out those that may be of other parts of the model, and of a head by its two names', () => {
      const unmatched = keysOf({ paths, has_other_parts: true });
      expect(unmatched).toEqual(['layers_to_transform', 'rank_pattern']);
      expect(keysOf({ paths, heads: ['score'] })).not.toContain('modules_to_save');
    });
  });

  it('names the base that the adapter was made for', () => {
    const config = { base_model_name_or_path: 'owner/other' };
    const place = { file: FILES.config, key: 'base_model_name_or_path' };
    expect(messagesOf(adapterOf({}, config), {})).toEqual([
      {
        severity: 'warning',
        message:
          'The adapter was made for owner/other, but this base is owner/tiny; the shapes match.',
        place,
      },
    ]);
    expect(messagesOf(adapterOf({}, config), { names: [] })[0]!.message).toContain('is another;');
  });

  it.each<[string | null, string, boolean]>([
    [null, 'x', false],
    ['owner/Tiny', 'tiny', false],
    ['owner/tiny-1.5', 'C:\\models\\Tiny_1.5\\', false],
    ['owner/tiny', '/models/tiny.Q4_1.gguf', false],
    ['tiny.Q4_1.gguf', 'owner/tiny', false],
    ['owner/tiny', '/tiny/other', true],
    ['owner/tiny', 'a-tiny', true],
    ['owner/tiny', '/', true],
    ['---', 'owner/tiny', true],
  ])('for an adapter of %s and the base %s: %s', (name, base, isWarned) => {
    const adapter = adapterOf({}, { base_model_name_or_path: name });
    expect(messagesOf(adapter, { names: [base] })).toHaveLength(isWarned ? 1 : 0);
  });
});
