import { describe, expect, it } from 'vitest';
import {
  difference,
  withBase,
  withChoice,
  type RankChoice,
} from '../../../../src/host/configure/recipeEdits';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const TEXT = `{
  // what it learns on
  "base": "tiny", "dataset": "train.jsonl",
  "lora": {
    "r": 8, // the rank
    "lora_alpha": 16,
    "exclude_modules": ["lm_head"], /* not the head */
  },
}
`;
const plain = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false };
const edited = (text: string, choice: RankChoice) =>
  withChoice(text, parseRecipe(text, 'lora.json').lora, choice);
const targets = { target_modules: ['q_proj', 'v_proj'], layers_to_transform: [0, 1] };

describe('a choice written into a recipe', () => {
  it('changes nothing when the recipe has the choice already', () => {
    expect(edited(TEXT, { settings: plain, targets: null })).toBe(TEXT);
  });

  it('changes one number, and keeps comments and layout', () => {
    expect(edited(TEXT, { settings: { ...plain, r: 4 }, targets: null })).toBe(
      TEXT.replace('"r": 8', '"r": 4'),
    );
  });

  it('adds keys in the layout of the file, and removes contradicting ones', () => {
    const text = edited(TEXT, { settings: { ...plain, use_dora: true }, targets });
    expect(text).toMatch(/\n {4}"use_dora": true/);
    expect(text).not.toContain('exclude_modules');
    expect(text).toContain('// the rank');
    expect(parseRecipe(text, 'lora.json').lora).toMatchObject({
      ...plain,
      ...targets,
      use_dora: true,
      exclude_modules: null,
    });
  });

  it('adds a missing lora section, with the tabs and line endings of the file', () => {
    const text = edited('{\r\n\t"base": "tiny",\r\n\t"dataset": "train.jsonl"\r\n}\r\n', {
      settings: { ...plain, r: 2 },
      targets: null,
    });
    expect(text).toContain('\r\n\t"lora": {\r\n\t\t"r": 2\r\n\t}\r\n}');
  });

  it('can be reverted', () => {
    const there = edited(TEXT, { settings: { ...plain, r: 4, use_rslora: true }, targets });
    const back = edited(there, {
      settings: plain,
      targets: { target_modules: 'all-linear', layers_to_transform: null },
    });
    expect(parseRecipe(back, 'lora.json').lora).toMatchObject({
      ...plain,
      target_modules: 'all-linear',
      layers_to_transform: null,
    });
  });
});

describe('the difference of two texts', () => {
  it('is minimal', () => {
    expect(difference('"r": 8,', '"r": 16,')).toEqual({ start: 5, end: 6, text: '16' });
    expect(difference('aa', 'aaa')).toEqual({ start: 2, end: 2, text: 'a' });
    expect(difference('same', 'same')).toBeNull();
  });
});

describe('another base', () => {
  it('is written in place of the old one, and where there was none', () => {
    expect(withBase(TEXT, 'models/other')).toBe(TEXT.replace('"tiny"', '"models/other"'));
    expect(withBase('{\r\n    "dataset": "d"\r\n}\r\n', 'b')).toBe(
      '{\r\n    "dataset": "d",\r\n    "base": "b"\r\n}\r\n',
    );
  });
});
