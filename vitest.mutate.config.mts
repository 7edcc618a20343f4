import { defineConfig } from 'vitest/config';

/** The unit tests alone, for stryker.config.mjs. */
export default defineConfig({
  test: { pool: 'forks', testTimeout: 60_000, include: ['test/unit/**/*.test.ts'] },
});
