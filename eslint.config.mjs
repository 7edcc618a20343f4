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

const NO_SHELL = {
  selector: "Property[key.name='shell'][value.value!=false]",
  message: 'Start programs by their path, without a shell.',
};

/**
 * A rule that forbids each kind of syntax of a list, with the reason for all of them, and shells: a
 * later object's list replaces an earlier one.
 */
const forbid = (message, selectors) => ({
  'no-restricted-syntax': [
    'error',
    NO_SHELL,
    ...selectors.map((selector) => ({ selector, message })),
  ],
});

/** Of scripts and tests; the extension has src/common/startProcess.ts. */
const NO_BARE_PROGRAM = {
  selector:
    'CallExpression[callee.name=/^(spawn|execFile)(Sync)?$/][arguments.0.value=/^[^\\x2f]/], CallExpression[callee.name=/^exec(Sync)$/]',
  message:
    'Find the program with programPath, npmCommand or packageCommand of scripts/programs.mjs.',
};

/**
 * Whatever shows text is reached through one module that makes the texts of strangers harmless, so
 * that no feature can forget it.
 */
const VSCODE_TEXT_FUNCTIONS = [
  'show(Information|Warning|Error)Message',
  'setStatusBarMessage',
  '(show|create)QuickPick',
  '(show|create)InputBox',
  'show(Open|Save)Dialog',
  'showWorkspaceFolderPick',
  'create(StatusBarItem|OutputChannel|Terminal|WebviewPanel|ChatParticipant)',
  'createTextEditorDecorationType',
  'withProgress',
  'clipboard',
  'MarkdownString',
  'LanguageModelTextPart',
  'invocationMessage',
  'confirmationMessages',
].join('|');
const VSCODE_TEXT_CLASSES = 'TreeItem|Diagnostic|Task|Hover|InlayHint|CompletionItem';
const VSCODE_TEXT_PROPERTIES =
  'title|tooltip|label|description|detail|message|placeholder|prompt|validationMessage|text';

const plainTextInHost = forbid('Show text through src/host/ui, which makes it plain.', [
  `Identifier[name=/^(${VSCODE_TEXT_FUNCTIONS})$/]`,
  `Literal[value=/^(${VSCODE_TEXT_FUNCTIONS})$/]`,
  `NewExpression[callee.property.name=/^(${VSCODE_TEXT_CLASSES})$/]`,
  `AssignmentExpression[left.property.name=/^(${VSCODE_TEXT_PROPERTIES})$/]`,
]);
const plainTextInEngine = forbid('Write through src/engine/terminal.ts, which escapes controls.', [
  "MemberExpression[object.name='process'][property.name=/^std(out|err)$/]",
  'Literal[value=/^std(out|err)$/]',
  'Property[key.name=/^std(out|err)$/]',
  "Identifier[name='console']",
]);
const plainTextInPages = forbid(
  'Draw with html of webview/shared/html.ts, which makes text plain.',
  [
    "ImportDeclaration[source.value='lit-html'] ImportSpecifier[imported.name=/^(html|svg|mathml)$/]",
    'ImportDeclaration[source.value=/^lit-html.directives.unsafe/]',
    'Identifier[name=/^(innerHTML|outerHTML|insertAdjacentHTML|srcdoc)$/]',
  ],
);

/** What reads or changes files without a limit, or follows links. */
const UNBOUNDED = ['readFile', 'createReadStream', 'open', 'opendir', 'appendFile', 'truncate'];
const UNBOUNDED_IN_HOST = [...UNBOUNDED, 'readdir', 'rm', 'rmdir', 'unlink', 'cp'];

/** A rule that forbids imports. One object has all of them: a later one replaces an earlier one. */
const forbidImports = (paths) => ({ 'no-restricted-imports': ['error', { paths }] });

const PROCESSES = ['node:child_process', 'child_process', 'node:cluster', 'cluster'].map(
  (name) => ({ name, message: 'Start programs with src/common/startProcess.ts.' }),
);

/** A rule that forbids functions of the file system, and their synchronous versions. */
const boundedFiles = (functions) =>
  forbidImports([
    ...PROCESSES,
    ...['node:fs', 'node:fs/promises', 'fs', 'fs/promises'].map((name) => ({
      name,
      importNames: functions.flatMap((own) => [own, `${own}Sync`]),
      message: 'Use src/common/regularFile.ts to read and src/common/withoutLinks.ts to write.',
    })),
  ]);

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
  {
    files: ['src/**/*.ts', 'webview/**/*.ts'],
    ignores: ['src/common/startProcess.ts'],
    rules: { ...forbidImports(PROCESSES), 'no-restricted-syntax': ['error', NO_SHELL] },
  },
  {
    files: ['src/host/**/*.ts', 'src/formats/run/**/*.ts'],
    // they write copies into a temporary folder, and the sample into an empty one
    ignores: ['src/host/data/dataChecks.ts', 'src/host/sample/writeSample.ts'],
    rules: boundedFiles(UNBOUNDED_IN_HOST),
  },
  {
    files: ['src/engine/run/**/*.ts', 'src/engine/training/**/*.ts', 'src/engine/download/**/*.ts'],
    rules: boundedFiles(UNBOUNDED),
  },
  { files: ['src/host/**'], ignores: ['src/host/ui/**'], rules: plainTextInHost },
  { files: ['src/engine/**'], ignores: ['src/engine/terminal.ts'], rules: plainTextInEngine },
  { files: ['webview/**'], ignores: ['webview/shared/html.ts'], rules: plainTextInPages },
  {
    files: ['scripts/**', 'test/**'],
    rules: { 'no-restricted-syntax': ['error', NO_SHELL, NO_BARE_PROGRAM] },
  },
  // A describe() is a chapter of tests, not a function: its length is that of the file.
  { files: ['test/**/*.test.*'], rules: { 'max-lines-per-function': 'off' } },
);
