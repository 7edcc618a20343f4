import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const globals = Object.fromEntries(
  [
    'process',
    'console',
    'Buffer',
    'URL',
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
    'fetch',
    'performance',
    'AbortController',
    'AbortSignal',
    'document',
    'window',
    'getComputedStyle',
  ].map((name) => [name, 'readonly']),
);

/** How long code may be: blank lines and comments do not count. */
const SIZES = { skipBlankLines: true, skipComments: true };

/** The same limits for all code; a comment cannot lift them (noInlineConfig). */
const limits = {
  eqeqeq: 'error',
  complexity: ['error', 15],
  'max-len': [
    'error',
    {
      code: 100,
      ignoreStrings: true,
      ignoreTemplateLiterals: true,
      ignoreRegExpLiterals: true,
      ignoreUrls: true,
    },
  ],
  'max-lines': ['error', { max: 400, ...SIZES }],
  'max-lines-per-function': ['error', { max: 60, ...SIZES }],
  'max-params': ['error', 4],
  'max-statements-per-line': ['error', { max: 1 }],
  'no-nested-ternary': 'error',
};

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'out/',
      'coverage/',
      'node_modules/',
      'test/fixtures/',
      '.lora/',
      '.stryker-tmp/',
      '**/*.cjs',
      '**/*.d.mts',
    ],
  },
  { linterOptions: { noInlineConfig: true } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './webview/tsconfig.json', './test/integration/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ['**/*.mjs', '**/*.mts'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals },
  },
  { rules: limits },
  // A describe() is a chapter of tests, not a function: its length is that of the file.
  { files: ['test/**/*.test.*'], rules: { 'max-lines-per-function': 'off' } },
);
