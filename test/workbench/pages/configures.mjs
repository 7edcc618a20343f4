// What the tests of the page for rank and targets share.
import { build } from 'esbuild';
import { createRequire } from 'node:module';
import path from 'node:path';
import { startPages } from './openPage.mjs';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '../../..');

/** The host's own numbers for the tiny base of the fixtures. */
async function hostMessages() {
  const contents = `
    import { adviceFor } from './src/host/configure/advice';
    import { figuresOf } from './src/host/configure/figures';
    import { factsOf } from './src/host/setup/costs';
    import { answerTo, readBaseHeaders } from './src/inspect/answer';
    import { sizesHere } from './src/host/configure/sizes';
    import { kindNames, layerOf } from './src/lora/selection';
    import { parseRecipe } from './src/shared/recipeFile';
    const answers = { ask: (kind, asked) => answerTo({ kind, asked }) };
    export const sizesMessage = async (available) => ({
      kind: 'sizes',
      sizes: await sizesHere(answers, { hasBf16: true, hasKernels: true, multipliesBf16: true, available }),
    });
    export async function recipeMessage(file, settings, choose, there, facts, { training = {}, machine = {} } = {}) {
      const base = factsOf(await readBaseHeaders(file));
      const recipe = parseRecipe(JSON.stringify({ base: file, dataset: 'x.jsonl', training }), 'lora.json');
      const chosen = base.modules.filter((m) => choose(m.path));
      const figures = figuresOf(base, recipe, { settings, chosen, facts }, { hasBf16: true, hasKernels: true, multipliesBf16: true, available: there, ...machine });
      const kind = kindNames(base.modules);
      const advice = adviceFor({ base, settings, chosen, figures, rows: 120, rates: [], used: { run: 'train on tiny', adapter: '/a', paid: 8, kept: 3 } });
      return { kind: 'recipe', file: 'lora.json', applied: 0, dirty: false, base: base.name, settings, figures, chosen: base.modules.flatMap((m, i) => (choose(m.path) ? [i] : [])),
        modules: base.modules.map((m) => ({ path: m.path, kind: kind(m), layer: layerOf(m.path), in_features: m.in_features, out_features: m.out_features })),
        advice: advice.map(({ text, button }, act) => ({ text, button: button && { label: button.label, act } })) };
    }`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    absWorkingDir: root,
    alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
    logLevel: 'warning',
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(
    module,
    module.exports,
    require,
  );
  return module.exports;
}

export const settings = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false };

const isQv = (name) => /[qv]_proj/.test(name);

/** The page, and the messages that its host would send: of a recipe, and of the common sizes. */
export async function startConfigure() {
  const { recipeMessage, sizesMessage } = await hostMessages();
  const message = (changes = {}, choose = isQv, there = 8e9, { facts = null, ...more } = {}) =>
    recipeMessage(
      path.join(root, 'test/fixtures/llama/base'),
      { ...settings, ...changes },
      choose,
      there,
      facts,
      more,
    );
  const pages = await startPages('configure', { recipe: '/w/lora.json' });
  return { message, sizesMessage, pages };
}

export const post = (page, data) => page.evaluate((value) => window.postMessage(value, '*'), data);

/** The page once it shows a message. */
export async function openConfigure(pages, data, options) {
  const shown = await pages.open(options);
  await post(shown.page, data);
  await shown.page.locator('h1').waitFor();
  return shown;
}
