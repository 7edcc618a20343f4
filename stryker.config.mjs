// npm run mutate: changes the code in small ways and runs the unit tests against each change. A
// change that no test notices ("survived") shows a gap. Only by hand: it takes hours.
// One file: npm run mutate -- --mutate src/lora/scaling.ts

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  testRunner: 'vitest',
  vitest: { configFile: 'vitest.mutate.config.mts', related: true },
  plugins: ['@stryker-mutator/vitest-runner'],
  mutate: ['src/lora/**/*.ts', 'src/data/**/*.ts', 'src/formats/{safetensors,peft,gguf}/**/*.ts'],
  coverageAnalysis: 'perTest',
  concurrency: 2,
  incremental: true,
  incrementalFile: 'out/mutation/incremental.json',
  reporters: ['clear-text', 'progress', 'html', 'json'],
  htmlReporter: { fileName: 'out/mutation/report.html' },
  jsonReporter: { fileName: 'out/mutation/report.json' },
  tempDirName: 'out/mutation/sandbox',
  ignorePatterns: ['dist', 'media', 'docs', 'demo', '.lora', '*.vsix'],
};
