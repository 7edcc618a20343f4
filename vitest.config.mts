import { defineConfig } from 'vitest/config';
import { STAGES } from './scripts/stages.mjs';

const TEMPORARY_FOLDER = 'test/support/temporaryFolder.ts';

/**
 * Tests that start the engine or load libtensorflow: one file at a time, each may take minutes.
 * They use the bundles in dist/, which are rebuilt first if the sources have changed. The limits
 * only end what hangs.
 */
const slow = {
  testTimeout: 1_200_000,
  hookTimeout: 1_200_000,
  maxWorkers: 1,
  globalSetup: [TEMPORARY_FOLDER, 'test/support/buildBundles.ts'],
};
const SLOW = ['parity', 'cli'];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: '100%',
    testTimeout: 240_000,
    hookTimeout: 240_000,
    projects: Object.entries(STAGES)
      .filter(([, { run }]) => run === 'vitest')
      .map(([name, { folder }]) => ({
        extends: true,
        test: {
          name,
          include: [`${folder}/**/*.test.ts`],
          globalSetup: [TEMPORARY_FOLDER],
          ...(SLOW.includes(name) ? slow : {}),
        },
      })),
  },
});
