// What the host sends to the page for rank and targets, computed by the host's own code.
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { root } from './root.mjs';

const source = (name) => tsImport(`../../src/${name}`, import.meta.url);

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: true };
const BASE = path.join(root, 'test/fixtures/llama/base');

/** `r` and its relatives in a recipe of the tests. */
export const settings = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false };

const isQv = (name) => /[qv]_proj/.test(name);

/**
 * The message of a recipe for the tiny base of the fixtures.
 *
 * @param choose Whether the module of a name is adapted.
 * @param there The memory that is available, in bytes.
 * @param machine Overrides what a machine with kernels and bf16 has.
 */
export async function recipeMessage(
  changes = {},
  choose = isQv,
  there = 8e9,
  { facts = null, training = {}, machine = {} } = {},
) {
  const [{ adviceFor }, { figuresOf }, { factsOf }, { readBaseHeaders }, lora, { parseRecipe }] =
    await Promise.all([
      source('host/configure/advice.ts'),
      source('host/configure/figures.ts'),
      source('host/setup/costs.ts'),
      source('inspect/answer.ts'),
      source('lora/selection.ts'),
      source('shared/recipeFile.ts'),
    ]);
  const base = factsOf(await readBaseHeaders(BASE));
  const text = JSON.stringify({ base: BASE, dataset: 'x.jsonl', training });
  const chosen = base.modules.filter((module) => choose(module.path));
  const own = { ...settings, ...changes };
  const figures = figuresOf(
    base,
    parseRecipe(text, 'lora.json'),
    { settings: own, chosen, facts },
    { ...MACHINE, available: there, ...machine },
  );
  const kind = lora.kindNames(base.modules);
  const used = { run: 'train on tiny', adapter: '/a', paid: 8, kept: 3 };
  const advice = adviceFor({
    method: 'lora',
    continued: null,
    base,
    settings: own,
    chosen,
    figures,
    rows: 120,
    rates: [],
    used,
  });
  return {
    kind: 'recipe',
    file: 'lora.json',
    applied: 0,
    dirty: false,
    base: base.name,
    settings: own,
    figures,
    chosen: base.modules.flatMap((module, i) => (choose(module.path) ? [i] : [])),
    modules: base.modules.map((module) => ({
      path: module.path,
      kind: kind(module),
      layer: lora.layerOf(module.path),
      in_features: module.in_features,
      out_features: module.out_features,
    })),
    advice: advice.map(({ text: shown, button }, act) => ({
      text: shown,
      button: button && { label: button.label, act },
    })),
  };
}

/** The message of the common sizes, of a machine with this much memory. */
export async function sizesMessage(available) {
  const [{ sizesHere }, { answerTo }] = await Promise.all([
    source('host/configure/sizes.ts'),
    source('inspect/answer.ts'),
  ]);
  const ask = (kind, asked) => answerTo({ kind, asked });
  return { kind: 'sizes', sizes: await sizesHere({ ask }, { ...MACHINE, available }) };
}
