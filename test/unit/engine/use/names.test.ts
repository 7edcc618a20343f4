import { describe, expect, it } from 'vitest';
import { modelfileText } from '../../../../src/engine/use/modelfile';
import { isModelName, modelNameOf } from '../../../../src/engine/use/names';

describe('the name of a model', () => {
  it.each([
    ['/w/.lora/runs/Git Commands/adapter', 'git-commands'],
    ['/w/.lora/runs/20260101-aa/best', '20260101-aa'],
    ['/w/.lora/runs/run/checkpoints/step-40', 'run'],
    ['/w/My Adapter.gguf', 'my-adapter'],
    ['/w/Größe ½', 'gro-e-1-2'],
    ['/w/$(touch x)', 'touch-x'],
    ['/w/--lora', 'lora'],
    ['/w/日本', 'adapter'],
    ['/adapter', 'adapter'],
    [`/w/${'a'.repeat(200)}`, 'a'.repeat(60)],
  ])('of %s', (adapter, name) => {
    expect(modelNameOf(adapter)).toBe(name);
    expect(isModelName(name)).toBe(true);
  });
});

describe('a Modelfile', () => {
  it('names paths with spaces, and refuses what would end a line or be left out of it', () => {
    expect(
      modelfileText([
        ['FROM', '/my models/base #1.gguf'],
        ['ADAPTER', './a.gguf'],
      ]),
    ).toBe('FROM /my models/base #1.gguf\nADAPTER ./a.gguf\n');
    for (const path of [
      '/a\nSYSTEM evil',
      '/a\r',
      '/a\u2028b',
      '/a ',
      '"/a',
      '/a\u00a0b',
      '/\u200bx',
    ])
      expect(() => modelfileText([['FROM', path]])).toThrow(/cannot name this path/);
  });
});
