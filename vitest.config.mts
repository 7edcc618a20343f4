import { defineConfig } from 'vitest/config';
import { STAGES } from './scripts/stages.mjs';

const TEMPORARY_FOLDER = 'test/support/temporaryFolder.ts';

/**
 * Tests that start the engine or load libtensorflow, where a file may take minutes. They use the
 * bundles in dist/, which are rebuilt first if the sources have changed. The limits only end what
 * hangs.
 */
const slow = {
  testTimeout: 1_200_000,
  hookTimeout: 1_200_000,
  globalSetup: [TEMPORARY_FOLDER, 'test/support/buildBundles.ts'],
};
/**
 * The number of files at a time. Parity uses all processors in libtensorflow; the command line
 * mostly starts, reads and writes.
 */
const SLOW = new Map([
  ['parity', 1],
  ['cli', 2],
]);

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
          ...(SLOW.has(name) ? { ...slow, maxWorkers: SLOW.get(name) } : {}),
        },
      })),
  },
});
