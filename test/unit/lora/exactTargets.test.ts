import { describe, expect, it } from 'vitest';
import { moduleNames, modulesOf } from '../../../src/formats/architecture/modules';
import { openBase } from '../../../src/formats/openBase';
import { exactTargets, type Selection } from '../../../src/lora/exactTargets';
import { matchTargets } from '../../../src/lora/targets';
import { inFixtures } from '../../support/cliResults';

const NONE = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
const selection = (target_modules: Selection['target_modules']): Selection => ({
  target_modules,
  ...NONE,
});

const layer = (i: number) => [
  ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((own) => `model.layers.${i}.self_attn.${own}`),
  ...['gate_proj', 'up_proj', 'down_proj'].map((own) => `model.layers.${i}.mlp.${own}`),
];
const layers = (count: number) => Array.from({ length: count }, (_, i) => layer(i)).flat();
const all = [
  ...['model', 'model.embed_tokens', 'lm_head', 'model.norm', 'model.layers'],
  ...Array.from({ length: 30 }, (_, i) => `model.layers.${i}.self_attn`),
  ...layers(30),
];
const ending = (...names: string[]) =>
  layers(30).filter((path) => names.some((name) => path.endsWith(`.${name}`)));

describe('exactTargets', () => {
  it('names kinds of layers by the ends of their paths, sorted', () => {
    expect(exactTargets({ chosen: ending('v_proj', 'q_proj'), all })).toEqual(
      selection(['q_proj', 'v_proj']),
    );
    expect(exactTargets({ chosen: layers(30), all })).toEqual(
      selection(['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']),
    );
  });

  it('names layers where an end would select more', () => {
    const some = ending('q_proj', 'v_proj').filter((path) => /\.(?:3|4|5)\./.test(path));
    expect(exactTargets({ chosen: some, all })).toEqual({
      ...selection(['q_proj', 'v_proj']),
      layers_to_transform: [3, 4, 5],
    });
  });

  it('names whole paths, or their ends, where nothing shorter is exact', () => {
    const chosen = ['model.layers.0.self_attn.q_proj', 'model.layers.1.mlp.up_proj'];
    const { target_modules } = exactTargets({ chosen, all });
    expect(target_modules).toEqual(['0.self_attn.q_proj', '1.mlp.up_proj']);
    expect(exactTargets({ chosen, all: null })).toEqual(selection(chosen));
  });

  it('keeps what was given where that is exact and lists no whole paths', () => {
    const given = selection('.*\\.(?:q|v)_proj');
    expect(exactTargets({ chosen: ending('q_proj', 'v_proj'), all, given: [given] })).toEqual(
      given,
    );
    expect(exactTargets({ chosen: ending('q_proj'), all, given: [given] })).toEqual(
      selection(['q_proj']),
    );
    const layered = { ...selection(['v_proj', 'q_proj']), layers_to_transform: 1 };
    const own = ending('q_proj', 'v_proj').filter((path) => path.includes('.1.'));
    expect(exactTargets({ chosen: own, all, given: [layered] }).layers_to_transform).toBe(1);
    const list = selection(['v_proj', 'q_proj', 'v_proj']);
    expect(exactTargets({ chosen: ending('q_proj', 'v_proj'), all, given: [list] })).toEqual(
      selection(['q_proj', 'v_proj']),
    );
  });

  it('replaces an expression that also matches what contains a layer', () => {
    const given = selection('.*(?:attn|q_proj)');
    expect(exactTargets({ chosen: ending('q_proj'), all, given: [given] })).toEqual(
      selection(['q_proj']),
    );
  });

  it('names the layers of an adapter whose base is not known', () => {
    expect(exactTargets({ chosen: ending('q_proj'), all: null })).toEqual({
      ...selection(['self_attn.q_proj']),
      layers_to_transform: Array.from({ length: 30 }, (_, i) => i),
    });
    const outputs = [0, 1].map((i) => `bert.encoder.layer.${i}.output.dense`);
    expect(exactTargets({ chosen: outputs, all: null })).toEqual(selection(outputs));
  });

  it.each(['bert', 'roberta', 'vit', 'gpt2', 'gpt_neox', 'phi3', 'llama'])(
    'selects exactly the linear layers of %s, and not those of its head',
    async (family) => {
      const base = await openBase(inFixtures(family, 'base'));
      await base.close();
      const names = moduleNames(base.spec);
      const linear = matchTargets(modulesOf(base.spec), { target_modules: 'all-linear' });
      const inLayers = linear.matched.map((m) => m.path).filter((path) => /\.\d+\./.test(path));
      const { target_modules } = exactTargets({ chosen: inLayers, all: names });
      expect(target_modules.length).toBeLessThan(8);
      const selected = names.filter((name) =>
        (target_modules as string[]).some((end) => name === end || name.endsWith(`.${end}`)),
      );
      expect(selected.toSorted()).toEqual(inLayers.toSorted());
    },
  );
});
