import { describe, expect, it } from 'vitest';
import { modulesOf, moduleNames } from '../../../src/formats/architecture/modules';
import { openBase } from '../../../src/formats/openBase';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';
import { matchTargets } from '../../../src/lora/targets';
import { describeUnmatched, unmatchedEntries } from '../../../src/lora/unmatched';
import { inFixtures } from '../../support/cliResults';

async function unmatched(change: Partial<typeof PLAIN_LORA>) {
  const base = await openBase(inFixtures('llama/base'));
  await base.close();
  const modules = modulesOf(base.spec);
  const settings = { ...PLAIN_LORA, ...change };
  const adapted = matchTargets(modules, settings).matched;
  return unmatchedEntries(settings, { modules, adapted, paths: moduleNames(base.spec) }).map(
    describeUnmatched,
  );
}

describe('what matches no module', () => {
  it('is named for every key', async () => {
    expect(
      await unmatched({
        target_modules: ['q_proj', 'v_prj'],
        exclude_modules: ['k_proj', 'o_prj'],
        layers_to_transform: [0, 9],
        rank_pattern: { q_proj: 4, up_proj: 4 },
        alpha_pattern: { '^.*q_prj': 4 },
        modules_to_save: ['lm_head', 'nothing_like_it'],
      }),
    ).toEqual([
      'target_modules: "v_prj" is not a module of this base; did you mean "v_proj"?',
      'exclude_modules: "o_prj" matches no module of this base that LoRA can adapt; did you mean "o_proj"?',
      'layers_to_transform: the base has no layer 9.',
      'rank_pattern: "up_proj" matches no module that is adapted.',
      expect.stringMatching(/^alpha_pattern: "\^\.\*q_prj" matches no module that is adapted/),
      'modules_to_save: "nothing_like_it" is not a module of this base.',
    ]);
  });

  it('is nothing where all entries match', async () => {
    expect(
      await unmatched({
        exclude_modules: '.*k_proj',
        layers_to_transform: null,
        rank_pattern: { 'layers.0.self_attn.q_proj': 4 },
        modules_to_save: ['norm'],
      }),
    ).toEqual([]);
    expect(await unmatched({ exclude_modules: '' })).toEqual([]);
    expect(await unmatched({ exclude_modules: '.*nothing' })).toEqual([
      'exclude_modules: ".*nothing" matches no module of this base that LoRA can adapt.',
    ]);
  });
});
