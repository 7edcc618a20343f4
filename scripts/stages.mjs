// The stages of `npm test`, cheapest first, and the test files of each. Only Node's own modules.
import { readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

/** The sources of the engine's and the command line's bundles. */
const ENGINE = /^src\/(common|shared|lora|formats|data|models|runtime|engine)\//;
/** The sources of the extension in the workbench. */
const EXTENSION = /^(src\/(host|common)\/|src\/extension\.ts|package(\.nls.*)?\.json|l10n\/)/;
const PAGES = /^(webview|src\/shared|src\/host\/webview)\//;

/**
 * `run`: 'check' counts as one test, 'vitest' is the project of that name, 'node' is node:test,
 * 'script' prints `N passed, N failed` last. A test file belongs to the stage of the deepest folder
 * that contains it. `needs`: what is found or installed before the first stage. `sources`: a
 * changed file that matches runs the stage with --changed; without it vitest decides by imports.
 */
export const STAGES = {
  types: { run: 'check', commands: [['tsc', '-b', 'scripts/types']] },
  lint: {
    run: 'check',
    commands: [
      ['prettier', '--check', '.', '--log-level', 'warn'],
      ['eslint', '.'],
      ['depcruise', 'src', 'webview', '--no-progress'],
    ],
  },
  unit: { run: 'vitest', folder: 'test/unit' },
  fuzz: { run: 'vitest', folder: 'test/fuzz' },
  parity: { run: 'vitest', folder: 'test/parity' },
  cli: { run: 'vitest', folder: 'test/cli', sources: ENGINE },
  pages: { run: 'node', folder: 'test/workbench/pages', needs: ['browser'], sources: PAGES },
  integration: {
    run: 'script',
    folder: 'test/integration',
    script: 'test/integration/run.mjs',
    needs: ['browser', 'workbench'],
    sources: EXTENSION,
  },
  workbench: {
    run: 'node',
    folder: 'test/workbench',
    needs: ['browser', 'workbench'],
    sources: EXTENSION,
  },
};

/**
 * The tests of `npm run test:gpu`, which should take minutes: those of the numbers, except for
 * files about the processor's own kernels or without tensors, and some runs of the command line.
 */
export const GPU = {
  stages: ['parity', 'cli'],
  files: () => [
    ...filesOf('parity').filter((file) => !WITHOUT_GPU.has(file)),
    'test/cli/chatImages.test.ts',
    'test/cli/encoderDecoder.test.ts',
    'test/cli/full.test.ts',
    'test/cli/preferences.test.ts',
    'test/cli/training.test.ts',
  ],
};

const WITHOUT_GPU = new Set([
  'test/parity/autodiff.test.ts',
  'test/parity/drafts.test.ts',
  'test/parity/fused.test.ts',
  'test/parity/largeShard.test.ts',
  'test/parity/merge.test.ts',
  'test/parity/product.test.ts',
  'test/parity/properties.test.ts',
  'test/parity/quantized.test.ts',
  'test/parity/quantizedStorage.test.ts',
  'test/parity/sideBySide.test.ts',
  'test/parity/sideBySideTraining.test.ts',
  'test/parity/smollm2-weights.test.ts',
  'test/parity/tokenizer-smollm2.test.ts',
  'test/parity/tokenizer.test.ts',
  'test/parity/withoutKernels.test.ts',
]);

/** The tests of `npm run test:targets`, which start clusters and servers. */
const BY_HAND = 'test/targets/';

/** Every test file of `npm test`, relative to the repository, in the order of their names. */
export const testFiles = () =>
  readdirSync(path.join(root, 'test'), { recursive: true })
    .map((name) => `test/${name.replaceAll(path.sep, '/')}`)
    .filter((name) => /\.test\.\w+$/.test(name) && !name.startsWith(BY_HAND))
    .sort();

/** The stage that runs a test file; undefined if none does. */
export function stageOf(file) {
  const depth = ([, { folder }]) => folder.length;
  const stages = Object.entries(STAGES).filter(
    ([, { folder }]) => folder && file.startsWith(`${folder}/`),
  );
  return stages.sort((a, b) => depth(b) - depth(a))[0]?.[0];
}

/** The test files of a stage. */
export const filesOf = (stage) => testFiles().filter((file) => stageOf(file) === stage);
