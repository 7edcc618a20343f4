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
/** Their files at a time: each keeps about one processor busy, whatever libtensorflow may use. */
const FILES_AT_A_TIME = 2;
const SLOW = new Set(['parity', 'cli']);

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
          ...(SLOW.has(name) ? { ...slow, maxWorkers: FILES_AT_A_TIME } : {}),
        },
      })),
  },
});
