import { defineConfig } from 'vitest/config';

/**
 * Tests that start the engine or load libtensorflow: one file at a time, each may take minutes.
 * They use the bundles in dist/, which are rebuilt first if the sources have changed.
 */
const slow = {
  testTimeout: 300_000,
  maxWorkers: 1,
  globalSetup: ['test/support/buildBundles.ts'],
};

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { extends: true, test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'] } },
      { extends: true, test: { name: 'parity', include: ['test/parity/**/*.test.ts'], ...slow } },
      { extends: true, test: { name: 'cli', include: ['test/cli/**/*.test.ts'], ...slow } },
    ],
  },
});
