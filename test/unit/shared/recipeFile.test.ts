import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { variablesIn, type TemplateVariables } from '../../../src/shared/chatVariables';
import { Float } from '../../../src/shared/exactValues';
import { LoraError, type Problem } from '../../../src/shared/errors';
import { toolsIn } from '../../../src/shared/tools';
import { checkRecipe, parseRecipe, placeOfKey } from '../../../src/shared/recipeFile';

const file = resolve('folder/lora.json');
const problemsOf = (text: string): readonly Problem[] => checkRecipe(text, file).problems;

describe('a recipe', () => {
  it('gets all defaults, and paths relative to its own folder', () => {
    const recipe = parseRecipe(
      '{ "base": "models/tiny", // the model\n "dataset": "data/train.jsonl", }',
      file,
    );
    expect(recipe.base).toBe(resolve('folder/models/tiny'));
    expect(recipe.dataset).toBe(resolve('folder/data/train.jsonl'));
    expect(recipe.validation).toBeNull();
    expect(recipe.lora).toEqual({
      r: 8,
      lora_alpha: 16,
      lora_dropout: 0,
      target_modules: 'all-linear',
      target_parameters: null,
      use_rslora: false,
      use_dora: false,
      init_lora_weights: 'default',
      rank_pattern: {},
      alpha_pattern: {},
      layers_to_transform: null,
      layers_pattern: null,
      exclude_modules: null,
      modules_to_save: null,
      trainable_token_indices: null,
      bias: 'none',
      frozen_adapters: [],
      init_adapter: null,
    });
    expect(recipe.training.learning_rate).toBe(2e-4);
    expect(recipe.training.lr_scheduler_type).toBe('cosine');
  });

  it('keeps variables of the chat template as Python reads them, also when it is written again', () => {
    const kwargs = (text: string) =>
      parseRecipe(`{"base": "b", "dataset": "d", "chat_template_kwargs": ${text}}`, file)
        .chat_template_kwargs;
    const plain = { a: [1, true, 'b'] };
    expect(kwargs(JSON.stringify(plain))).toEqual(plain);
    const exact = kwargs('{"x": 1.0, /* big */ "2": {"n": 12345678901234567890,}, "1": "",}');
    const again = JSON.parse(JSON.stringify(exact)) as TemplateVariables;
    expect([...Object.entries(variablesIn(again)!)]).toEqual([
      ...Object.entries(variablesIn(exact)!),
    ]);
    expect(variablesIn(again)).toEqual({
      x: new Float(1),
      2: { n: 12345678901234567890n },
      1: '',
    });
    expect(kwargs('"{\\"x\\": 1.0}"')).toBe('{"x": 1.0}');
    for (const wrong of ['1', '"x"', '"[1]"', '[]'])
      expect(() => kwargs(wrong)).toThrow(/"chat_template_kwargs" must be an? (JSON )?object/);
  });

  it('keeps tools as Python reads them, and refuses what is no list of them', () => {
    const tools = (text: string) =>
      parseRecipe(`{"base": "b", "dataset": "d", "tools": ${text}}`, file).tools;
    const plain = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    expect(parseRecipe('{"base": "b", "dataset": "d"}', file).tools).toBeNull();
    expect(tools(JSON.stringify(plain))).toEqual(plain);
    const exact = tools('[{"name": "f", "parameters": {"maximum": 1.0, /* m */ "2": 1,}}]');
    const again = JSON.parse(JSON.stringify(exact)) as unknown;
    expect(toolsIn(again)).toEqual([
      {
        name: 'f',
        parameters: new Map<string, unknown>([
          ['maximum', new Float(1)],
          ['2', 1],
        ]),
      },
    ]);
    for (const wrong of ['{}', '"x"', '[1]', '[{}]', '[{"name": ""}]', '[{"function": {}}]'])
      expect(() => tools(wrong)).toThrow(/"tools" must be a list of tools/);
    expect(() => tools('[{"name": "f", "parameters": []}]')).toThrow(/"tools" must be/);
    expect(() => tools('"[{\\"name\\": \\"f\\", \\"name\\": \\"g\\"}]"')).toThrow(/duplicated/);
  });

  it('that is nested too deeply is refused, with the place of the first level too many', () => {
    for (const [open, at] of [
      ['[', 65],
      ['{"lora":', 64 * 8 + 1],
    ] as const) {
      const [problem] = problemsOf(`${open.repeat(20_000)}1`);
      expect(problem).toMatchObject({
        message: expect.stringMatching(/nested too deeply/) as string,
        place: { line: 1, column: at },
      });
    }
    expect(placeOfKey('['.repeat(20_000), file, 'lora.r')).toEqual({ file, key: 'lora.r' });
  });

  it('with unknown keys: the nearest known key for each, at its line and column', () => {
    const problems = problemsOf(
      '{\n  "base": "m",\n  "dataset": "d",\n  "lora": { "rank": 4, "lora_aplha": 8 },\n  "traning": {}\n}',
    );
    expect(problems.map((p) => p.message)).toEqual([
      'Unknown key "rank". Known keys: r, lora_alpha, lora_dropout, target_modules, target_parameters, use_rslora, use_dora, init_lora_weights, rank_pattern, alpha_pattern, layers_to_transform, layers_pattern, exclude_modules, modules_to_save, trainable_token_indices, bias, frozen_adapters, init_adapter.',
      'Unknown key "lora_aplha". Did you mean "lora_alpha"?',
      'Unknown key "traning". Did you mean "training"?',
    ]);
    expect(problems[1]?.place).toEqual({ file, line: 4, column: 24, key: 'lora.lora_aplha' });
  });

  it('with several errors: all of them are reported at once', () => {
    const problems = problemsOf(
      '{ "dataset": 3, "lora": { "r": 2.7, "lora_alpha": 0 }, "training": { "lr_scheduler_type": "cosin", "max_steps": 0 } }',
    );
    const text = problems.map((p) => p.message).join('\n');
    expect(text).toContain('"base" is missing');
    expect(text).toMatch(/"dataset" must be a path, .*, not 3/);
    expect(text).toContain('"lora.r" must be a whole number, not 2.7');
    expect(text).toContain('"lora.lora_alpha" must be above 0, not 0');
    expect(text).toContain('"cosin"');
    expect(text).toContain('"training.max_steps" must be at least 1, not 0');
  });

  it.each([0, -5, 2.7, '"four"', 'null'])('refuses r %s', (r) => {
    expect(problemsOf(`{ "base": "m", "dataset": "d", "lora": { "r": ${r} } }`)).toHaveLength(1);
  });

  it('that is not valid JSON: the place of the error', () => {
    const [problem] = problemsOf('{\n  "base": "m",\n  "dataset" "d"\n}');
    expect(problem?.message).toContain('Not valid JSON');
    expect(problem?.place?.line).toBe(3);
  });

  it('has a place for each key, or for the nearest parent that exists', () => {
    const text = '{\n  "base": "m", // x\n  "lora": {\n    "r": 4\n  }\n}';
    expect(placeOfKey(text, file, 'lora.r')).toEqual({ file, line: 4, column: 10, key: 'lora.r' });
    expect(placeOfKey(text, file, 'lora.target_modules')).toEqual({
      file,
      line: 3,
      column: 11,
      key: 'lora.target_modules',
    });
    expect(placeOfKey('', file, 'lora.r')).toEqual({ file, key: 'lora.r' });
  });

  it('with a duplicate key is refused', () => {
    expect(
      problemsOf('{ "base": "m", "dataset": "d", "base": "n" }').map((p) => p.message),
    ).toEqual(['The key "base" is duplicated.']);
  });

  it.each([
    ['"lora": { "r": 4,\n "r": 8 }', 'r', 2, 'lora.r'],
    ['"lora": { "rank_pattern": { "q": 4,\n\n "q": 8 } }', 'q', 3, 'lora.rank_pattern.q'],
    [
      '"chat_template_kwargs": {\n "think": 1,\n "think": 2 }',
      'think',
      3,
      'chat_template_kwargs.think',
    ],
    [
      '"chat_template_kwargs": { "tools": [1, { "a": 1,\n "a": 2 }] }',
      'a',
      2,
      'chat_template_kwargs.tools.1.a',
    ],
    ['\n"chat_template_kwargs": "{\\"a\\": 1, \\"a\\": 2}"', 'a', 2, 'chat_template_kwargs'],
  ])('with a duplicate key in %s is refused at its line', (part, name, line, key) => {
    const problems = problemsOf(`{ "base": "m", "dataset": "d", ${part} }`);
    expect(problems).toMatchObject([
      { message: `The key "${name}" is duplicated.`, place: { file, line, key } },
    ]);
  });

  it.each(['', '[]', '3', 'null'])('refuses %j as a whole', (text) => {
    expect(() => parseRecipe(text, file)).toThrow(LoraError);
  });
});
