import { describe, expect, it } from 'vitest';
import { AGENT_TOOLS, agentTool, toolInput } from '../../../src/shared/agentTools';

describe('the input of tools of agents', () => {
  const { startRecipe, listRuns } = AGENT_TOOLS;

  it('is what the schema names, and nothing else', () => {
    expect(toolInput(listRuns, undefined)).toEqual({});
    const input = { recipe: 'lora.json', when: 'now' };
    expect(toolInput(startRecipe, input)).toEqual(input);
    const wrong: readonly (readonly [unknown, string])[] = [
      [null, 'needs "recipe"'],
      [[], 'needs an object'],
      ['lora.json', 'needs an object'],
      [{ recipe: 1 }, 'needs a text as "recipe"'],
      [{ recipe: '' }, 'needs 1 to 4096 characters as "recipe"'],
      [{ recipe: 'a', when: 'soon' }, 'needs queue or now as "when"'],
      [{ recepie: 'a' }, 'has no input "recepie" (did you mean "recipe"?)'],
      [{ recipe: 'a', toString: 'b' }, 'has no input "toString"'],
      [JSON.parse('{"recipe": "a", "__proto__": "b"}'), 'has no input "__proto__"'],
    ];
    for (const [given, problem] of wrong)
      expect(() => toolInput(startRecipe, given)).toThrow(`lora_start_recipe ${problem}.`);
  });

  it('belongs to tools that are there', () => {
    expect(agentTool('lora_list_runs')).toBe(listRuns);
    expect(agentTool('toString')).toBeUndefined();
  });
});
